/* A fake libnvidia-ml.so.1: devices that do what a text file says, for the real pynvml.
 *
 * FAKE_NVML_TRACE names the file; FAKE_NVML_EPOCH is time 0 on CLOCK_MONOTONIC in seconds, so that
 * several processes see the same device (default: the first call). One directive a line:
 *
 *   gpu NAME UUID MEMORY     begin a device; what follows belongs to it
 *   limit MW   default_clk MHZ   noenergy   oldpower (no power fields)   ecc 0|1
 *   mig N                     MIG mode with N instances, MIG-UUID-0 and so on
 *   period_ms X  phase_ms X   refresh of the energy counter; 0 = continuous
 *   sensor_ms X  seen_ms X    refresh of the power sensor; of each refresh only X ms are seen
 *   avg_ms X  gain G  scale K window of the average power; error of gain; factor of the counter
 *   p T MW  mem T BYTES  temp T C  clk T MHZ  thr T MASK  thrns T FIELD NS    piecewise constant
 *   proc T PID BYTES   procend T PID
 *   fail T FUNC CODE   fieldfail T ID CODE   hang T FUNC SECONDS
 *   stuck T0 T1   reset T     the counter stands still; falls to zero
 *
 * Compiled with -DNO_ENERGY, -DNO_FIELDS or -DNO_MEMORY_V2 the library lacks these symbols, as those
 * of older drivers do.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <math.h>

#define GPUS 4
#define STEPS 4096
#define EVENTS 64

typedef struct { double t, v; } step;
typedef struct { step s[STEPS]; int n; } steps;
typedef struct { double t; char name[64]; int code; double value; } event;
typedef struct {
  char name[64], uuid[96];
  unsigned long long memory;
  double limit, default_clk, period, phase, sensor, seen, avg, gain, scale, stuck0, stuck1, reset;
  int mig, ecc, noenergy, oldpower, events, procs;
  steps p, mem, temp, clk, thr;
  event ev[EVENTS];
  struct { double t, end; unsigned pid; double bytes; } proc[EVENTS];
} gpu;

static gpu gpus[GPUS];
static struct { gpu *board; char uuid[112]; } slices[GPUS];
static int count = -1;
static double epoch;

static double now(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return ts.tv_sec + ts.tv_nsec * 1e-9 - epoch;
}

static void add(steps *s, double t, double v) { if (s->n < STEPS) s->s[s->n++] = (step){t, v}; }

static double at(const steps *s, double t, double otherwise) {
  double v = otherwise;
  for (int i = 0; i < s->n && s->s[i].t <= t; i++) v = s->s[i].v;
  return v;
}

/* Millijoules of the true power from time 0 to t: power in mW times seconds. */
static double energy(const gpu *g, double t) {
  double e = 0;
  for (int i = 0; i < g->p.n; i++) {
    double a = g->p.s[i].t, b = i + 1 < g->p.n ? g->p.s[i + 1].t : t;
    if (b > t) b = t;
    if (a < 0) a = 0;
    if (b > a) e += g->p.s[i].v * (b - a);
  }
  return e;
}

/* What the sensor believes: only the last `seen` of each refresh counts, for the whole of it. */
static double sensed(const gpu *g, double t) {
  if (g->seen <= 0 || g->sensor <= 0) return energy(g, t) * g->gain;
  double e = 0;
  long whole = (long)floor(t / g->sensor);
  for (long i = 0; i < whole; i++) {
    double end = (i + 1) * g->sensor;
    e += (energy(g, end) - energy(g, end - g->seen)) * g->sensor / g->seen;
  }
  return e * g->gain;
}

static void init(void) {
  if (count >= 0) return;
  count = 0;
  const char *e = getenv("FAKE_NVML_EPOCH"), *path = getenv("FAKE_NVML_TRACE");
  if (e) epoch = atof(e); else { epoch = 0; epoch = now(); }
  FILE *f = path ? fopen(path, "r") : NULL;
  if (!f) return;
  char line[512], word[32];
  gpu *g = NULL;
  while (fgets(line, sizeof line, f)) {
    double a = 0, b = 0;
    char s[64] = "";
    if (sscanf(line, "%31s", word) != 1 || word[0] == '#') continue;
    if (!strcmp(word, "gpu") && count < GPUS) {
      g = &gpus[count++];
      memset(g, 0, sizeof *g);
      g->gain = g->scale = 1; g->avg = 1; g->limit = 700000; g->default_clk = 1500; g->period = 0.1;
      g->reset = g->stuck0 = g->stuck1 = -1;
      sscanf(line, "%*s %63s %95s %llu", g->name, g->uuid, &g->memory);
      continue;
    }
    if (!g) continue;
#define NUMBER(key, field, factor) if (!strcmp(word, key) && sscanf(line, "%*s %lf", &a) == 1) g->field = a * factor
#define STEP(key, field) if (!strcmp(word, key) && sscanf(line, "%*s %lf %lf", &a, &b) == 2) add(&g->field, a, b)
    NUMBER("limit", limit, 1); NUMBER("default_clk", default_clk, 1); NUMBER("mig", mig, 1); NUMBER("ecc", ecc, 1);
    NUMBER("period_ms", period, 1e-3); NUMBER("phase_ms", phase, 1e-3); NUMBER("avg_ms", avg, 1e-3);
    NUMBER("sensor_ms", sensor, 1e-3); NUMBER("seen_ms", seen, 1e-3);
    NUMBER("gain", gain, 1); NUMBER("scale", scale, 1); NUMBER("reset", reset, 1);
    STEP("p", p); STEP("mem", mem); STEP("temp", temp); STEP("clk", clk); STEP("thr", thr);
    if (!strcmp(word, "noenergy")) g->noenergy = 1;
    if (!strcmp(word, "oldpower")) g->oldpower = 1;
    if (!strcmp(word, "stuck")) sscanf(line, "%*s %lf %lf", &g->stuck0, &g->stuck1);
    if (!strcmp(word, "proc") && sscanf(line, "%*s %lf %lf %lf", &a, &b, &g->proc[g->procs].bytes) == 3) {
      g->proc[g->procs].t = a; g->proc[g->procs].pid = (unsigned)b; g->proc[g->procs++].end = INFINITY;
    }
    if (!strcmp(word, "procend") && sscanf(line, "%*s %lf %lf", &a, &b) == 2)
      for (int i = 0; i < g->procs; i++) if (g->proc[i].pid == (unsigned)b) g->proc[i].end = a;
    if ((!strcmp(word, "fail") || !strcmp(word, "fieldfail") || !strcmp(word, "hang") || !strcmp(word, "thrns"))
        && sscanf(line, "%*s %lf %63s %lf", &a, s, &b) == 3 && g->events < EVENTS) {
      event *v = &g->ev[g->events++];
      v->t = a; v->value = b; v->code = word[0] == 'h' ? -1 : word[0] == 't' ? -2 : (int)b;
      snprintf(v->name, sizeof v->name, "%s", s);
    }
  }
  fclose(f);
}

/* The scripted error of a function or field at this moment; may hang first. */
static int scripted(const gpu *g, const char *name) {
  for (int i = 0; i < g->events; i++) {
    const event *v = &g->ev[i];
    if (v->code == -2 || v->t > now() || strcmp(v->name, name)) continue;
    if (v->code == -1) {
      struct timespec ts = {(time_t)v->value, 0};
      nanosleep(&ts, NULL);
    } else return v->code;
  }
  return 0;
}

#define DEVICE gpu *g = h; int bad = scripted(g, __func__); if (bad) return bad

static double counter(const gpu *g) {
  double t = now();
  if (g->stuck0 >= 0 && t > g->stuck0 && t < g->stuck1) t = g->stuck0;
  if (g->period > 0) t = floor((t - g->phase) / g->period) * g->period + g->phase;
  double e = sensed(g, t < 0 ? 0 : t);
  if (g->reset >= 0 && t >= g->reset) e -= sensed(g, g->reset);
  return (1e6 + e) * g->scale - (g->reset >= 0 && t >= g->reset ? 1e6 * g->scale : 0);
}

static double instant(const gpu *g) {
  double t = now();
  if (g->sensor > 0) t = floor(t / g->sensor) * g->sensor;
  return at(&g->p, t, 0) * g->gain;
}

static double average(const gpu *g) {
  double t = now(), a = t > g->avg ? t - g->avg : 0;
  return t > a ? (energy(g, t) - energy(g, a)) / (t - a) * g->gain : 0;
}

int nvmlInitWithFlags(unsigned f) { (void)f; init(); return count ? 0 : 9; }
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int c) { return c == 15 ? "GPU is lost" : c == 3 ? "Not Supported" : "scripted error"; }
int nvmlSystemGetDriverVersion(char *s, unsigned n) { snprintf(s, n, "999.1"); return 0; }
int nvmlDeviceGetCount_v2(unsigned *n) { init(); *n = count; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **h) { init(); if ((int)i >= count) return 2; *h = &gpus[i]; return 0; }
int nvmlDeviceGetHandleByUUID(const char *u, void **h) {
  init();
  for (int i = 0; i < count && !strncmp(u, "MIG-", 4); i++)
    if (!strncmp(gpus[i].uuid, u + 4, strlen(gpus[i].uuid))) {
      slices[i].board = &gpus[i];
      *h = &slices[i];
      return 0;
    }
  for (int i = 0; i < count; i++) if (!strcmp(gpus[i].uuid, u)) { *h = &gpus[i]; return 0; }
  return 6;
}
int nvmlDeviceGetUUID(void *h, char *s, unsigned n) { DEVICE; snprintf(s, n, "%s", g->uuid); return 0; }
int nvmlDeviceGetName(void *h, char *s, unsigned n) { DEVICE; snprintf(s, n, "%s", g->name); return 0; }
int nvmlDeviceGetIndex(void *h, unsigned *i) { DEVICE; *i = (unsigned)(g - gpus); return 0; }
int nvmlDeviceGetMigMode(void *h, unsigned *a, unsigned *b) { DEVICE; *a = *b = g->mig > 0; return 0; }
int nvmlDeviceGetMaxMigDeviceCount(void *h, unsigned *n) { DEVICE; *n = 7; return 0; }
int nvmlDeviceGetMigDeviceHandleByIndex(void *h, unsigned i, void **s) {
  DEVICE;
  if ((int)i >= g->mig) return 6;
  slices[g - gpus].board = g;
  *s = &slices[g - gpus];
  return 0;
}
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(void *s, void **h) {
  for (int i = 0; i < GPUS; i++) if (s == &slices[i]) { *h = slices[i].board; return 0; }
  return 6;
}
int nvmlDeviceGetEccMode(void *h, unsigned *a, unsigned *b) { DEVICE; *a = *b = g->ecc; return 0; }
#ifndef NO_ENERGY
int nvmlDeviceGetTotalEnergyConsumption(void *h, unsigned long long *e) {
  DEVICE;
  if (g->noenergy) return 3;
  *e = (unsigned long long)counter(g);
  return 0;
}
#endif
int nvmlDeviceGetPowerUsage(void *h, unsigned *p) { DEVICE; *p = (unsigned)average(g); return 0; }
int nvmlDeviceGetEnforcedPowerLimit(void *h, unsigned *p) { DEVICE; *p = (unsigned)g->limit; return 0; }
int nvmlDeviceGetClockInfo(void *h, int k, unsigned *c) { DEVICE; (void)k; *c = (unsigned)at(&g->clk, now(), g->default_clk); return 0; }
int nvmlDeviceGetDefaultApplicationsClock(void *h, int k, unsigned *c) { DEVICE; (void)k; *c = (unsigned)g->default_clk; return 0; }
int nvmlDeviceGetTemperature(void *h, int k, unsigned *c) { DEVICE; (void)k; *c = (unsigned)at(&g->temp, now(), 40); return 0; }
int nvmlDeviceGetTemperatureV(void *h, void *s) { DEVICE; ((int *)s)[2] = (int)at(&g->temp, now(), 40); return 0; }
int nvmlDeviceGetUtilizationRates(void *h, void *u) { DEVICE; ((unsigned *)u)[0] = 99; ((unsigned *)u)[1] = 50; return 0; }
int nvmlDeviceGetArchitecture(void *h, unsigned *a) { DEVICE; *a = 7; return 0; }
int nvmlDeviceGetC2cModeInfoV(void *h, void *i) { DEVICE; (void)i; return 3; }
int nvmlDeviceGetPersistenceMode(void *h, int *m) { DEVICE; *m = 1; return 0; }
int nvmlDeviceGetComputeMode(void *h, int *m) { DEVICE; *m = 0; return 0; }
int nvmlDeviceGetGraphicsRunningProcesses_v3(void *h, unsigned *n, void *p) { DEVICE; (void)p; *n = 0; return 0; }
int nvmlDeviceGetCurrentClocksEventReasons(void *h, unsigned long long *m) { DEVICE; *m = (unsigned long long)at(&g->thr, now(), 0); return 0; }
int nvmlDeviceGetMemoryInfo(void *h, unsigned long long *m) {
  DEVICE;
  m[0] = g->memory; m[2] = (unsigned long long)at(&g->mem, now(), 0) + (512ULL << 20); m[1] = m[0] - m[2];
  return 0;
}
#ifndef NO_MEMORY_V2
int nvmlDeviceGetMemoryInfo_v2(void *h, void *p) {
  DEVICE;
  struct { unsigned version; unsigned long long total, reserved, free, used; } *m = p;
  if (m->version != (0x28 | 2u << 24)) return 25;
  m->total = g->memory; m->reserved = 512ULL << 20; m->used = (unsigned long long)at(&g->mem, now(), 0);
  m->free = m->total - m->reserved - m->used;
  return 0;
}
#endif
int nvmlDeviceGetComputeRunningProcesses_v3(void *h, unsigned *n, void *p) {
  DEVICE;
  struct { unsigned pid; unsigned long long bytes; unsigned gi, ci; } *out = p;
  unsigned live = 0, room = *n;
  double t = now();
  for (int i = 0; i < g->procs; i++) {
    if (t < g->proc[i].t || t >= g->proc[i].end) continue;
    if (p && live < room) { out[live].pid = g->proc[i].pid; out[live].bytes = (unsigned long long)g->proc[i].bytes; out[live].gi = out[live].ci = ~0u; }
    live++;
  }
  *n = live;
  return !live || (p && live <= room) ? 0 : 7;
}
#ifndef NO_FIELDS
int nvmlDeviceGetFieldValues(void *h, int n, void *p) {
  DEVICE;
  struct { unsigned id, scope; long long stamp, latency; unsigned type; int ret; union { double d; unsigned u; unsigned long long l; } v; } *f = p;
  for (int i = 0; i < n; i++) {
    char name[16];
    snprintf(name, sizeof name, "%u", f[i].id);
    f[i].type = 3; f[i].ret = scripted(g, name); f[i].v.l = 0xdeadbeefdeadbeefULL;
    if (f[i].ret) continue;
    if (f[i].id == 83 || f[i].id == 191) { if (g->noenergy) f[i].ret = 3; else f[i].v.l = (unsigned long long)counter(g); }
    else if (f[i].id == 186 && !g->oldpower) { f[i].type = 1; f[i].v.l = 0; f[i].v.u = (unsigned)instant(g); }
    else if (f[i].id == 185 && !g->oldpower) { f[i].type = 1; f[i].v.l = 0; f[i].v.u = (unsigned)average(g); }
    else if (f[i].id == 74 || (f[i].id >= 269 && f[i].id <= 271)) {
      f[i].v.l = 0;
      for (int k = 0; k < g->events; k++)
        if (g->ev[k].code == -2 && !strcmp(g->ev[k].name, name) && g->ev[k].t <= now()) f[i].v.l = (unsigned long long)g->ev[k].value;
    } else f[i].ret = 3;
  }
  return 0;
}
#endif
