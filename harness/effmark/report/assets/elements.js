// Elements from plain values. Text only ever becomes a text node, so no name can become markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "tip") describe(node, value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(3).filter((c) => c !== null && c !== undefined && c !== false));
  return node;
}

function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function byId(id) {
  return document.getElementById(id);
}

function count(n, noun) {
  return `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
}

// Whether a text reached the clipboard; a page opened from a file may not be allowed to.
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

// One tooltip for the whole page: shown on hover and on keyboard focus, hidden by Escape.

function describe(node, text) {
  node.dataset.tip = text;
}

function showTip(node) {
  const tip = byId("tip");
  tip.textContent = node.dataset.tip;
  tip.hidden = false;
  const at = node.getBoundingClientRect();
  const own = tip.getBoundingClientRect();
  const left = Math.min(Math.max(8, at.left + at.width / 2 - own.width / 2), innerWidth - own.width - 8);
  const above = at.top - own.height - 8;
  tip.style.left = `${left}px`;
  tip.style.top = `${above > 4 ? above : at.bottom + 8}px`;
  node.setAttribute("aria-describedby", "tip");
}

function hideTip() {
  byId("tip").hidden = true;
  for (const node of document.querySelectorAll('[aria-describedby="tip"]')) {
    node.removeAttribute("aria-describedby");
  }
}

function watchTips() {
  const find = (event) => event.target.closest?.("[data-tip]");
  const enter = (event) => (find(event) ? showTip(find(event)) : hideTip());
  document.addEventListener("mouseover", enter);
  document.addEventListener("focusin", enter);
  document.addEventListener("focusout", hideTip);
  document.addEventListener("scroll", hideTip, { passive: true, capture: true });
  document.addEventListener("keydown", (event) => event.key === "Escape" && hideTip());
}
