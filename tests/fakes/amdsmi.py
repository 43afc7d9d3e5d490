"""Makes a `libamd_smi.so` that the real amdsmi package loads: one GPU of constant power.

The package binds every function of its library when it is imported, so all of them are there; all
but a few answer NOT_SUPPORTED. FAKE_AMD is read at run time: `ok`, `stuck`, `backwards`, `scale`
(the counter forgets its resolution), `layout` (the structure of an older ROCm).

    python amdsmi.py PATH_OF_amdsmi_wrapper.py OUTPUT_FOLDER
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

REAL = r"""
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
static double now(void) {
  struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9;
}
static int mode(const char *name) {
  const char *m = getenv("FAKE_AMD");
  return m && !strcmp(m, name);
}
static double began;
#define WATTS 300.0
#define RESOLUTION 15.259
int amdsmi_init(uint64_t f) { if (!began) began = now(); return 0; }
int amdsmi_shut_down(void) { return 0; }
int amdsmi_status_code_to_string(int c, const char **s) { *s = "scripted"; return 0; }
int amdsmi_get_socket_handles(uint32_t *n, void **h) { *n = 1; if (h) h[0] = (void *)1; return 0; }
int amdsmi_get_processor_handles(void *s, uint32_t *n, void **h) {
  *n = 1; if (h) h[0] = (void *)2;
  return 0;
}
int amdsmi_get_gpu_device_uuid(void *h, uint32_t *n, char *s) { strcpy(s, "amd-gpu-0"); return 0; }
int amdsmi_get_energy_count(void *h, uint64_t *e, float *r, uint64_t *t) {
  double s = now();
  double joules = 1000 + WATTS * (s - began);
  if (mode("stuck")) joules = 1000;
  if (mode("backwards") && s > began + 0.2) joules = 500 + s - began;
  if (mode("scale")) joules *= RESOLUTION;
  *e = (uint64_t)(joules / (RESOLUTION * 1e-6)); *r = RESOLUTION; *t = (uint64_t)(s * 1e9);
  return 0;
}
int amdsmi_get_power_info(void *h, void *p) {
  if (mode("layout")) {  /* without the leading 64-bit field: what follows is garbage to a reader */
    uint32_t *u = p; u[0] = 300; u[1] = 300; memset(u + 2, 0xe7, 24);
    return 0;
  }
  uint64_t *u = p; u[0] = 300; ((uint32_t *)p)[2] = 300; ((uint32_t *)p)[3] = 0xFFFF;
  return 0;
}
"""


def build(wrapper: Path, folder: Path) -> Path:
    """Compile the library into a folder; return its path."""
    text = wrapper.read_text()
    wanted = set(re.findall(r"_libraries\['libamd_smi\.so'\]\.(\w+)", text))
    real = set(re.findall(r"^int (\w+)\(", REAL, re.MULTILINE))
    stubs = "".join(f"int {name}() {{ return 2; }}\n" for name in sorted(wanted - real))
    source = folder / "amd_smi.c"
    source.write_text(REAL + stubs)
    library = folder / "libamd_smi.so"
    command = ["cc", "-shared", "-fPIC", "-w", "-o", str(library), str(source)]
    subprocess.run(command, check=True)
    return library


if __name__ == "__main__":
    print(build(Path(sys.argv[1]), Path(sys.argv[2])))
