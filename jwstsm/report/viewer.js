// A picture over the whole window: wheel, pinch or buttons zoom about the pointer, dragging moves, Escape closes.
const box = document.querySelector("dialog"), big = box.querySelector("img"), label = box.querySelector(".name");
let scale = 1, x = 0, y = 0, least = 1;
const fingers = new Map();
function draw() { big.style.transform = `translate(${x}px, ${y}px) scale(${scale})`; box.dataset.scale = scale; }
function fit() {
  least = Math.min(innerWidth / big.naturalWidth, innerHeight / big.naturalHeight);
  scale = least; x = (innerWidth - big.naturalWidth * scale) / 2; y = (innerHeight - big.naturalHeight * scale) / 2; draw();
}
function zoom(factor, cx = innerWidth / 2, cy = innerHeight / 2) {
  const next = Math.min(Math.max(scale * factor, least), 32 * least), ratio = next / scale;
  x = cx - (cx - x) * ratio; y = cy - (cy - y) * ratio; scale = next; next === least ? fit() : draw();
}
document.querySelectorAll("main img").forEach(i => i.addEventListener("click", () => {
  big.onload = fit; big.src = i.dataset.full || i.src; label.textContent = i.alt; box.showModal(); if (big.complete) fit();
}));
big.addEventListener("wheel", e => { e.preventDefault(); zoom(Math.exp(-e.deltaY / 400), e.clientX, e.clientY); }, { passive: false });
big.addEventListener("dblclick", e => zoom(2.5, e.clientX, e.clientY));
big.addEventListener("dragstart", e => e.preventDefault());
big.addEventListener("pointerdown", e => { big.setPointerCapture(e.pointerId); fingers.set(e.pointerId, e); });
["pointerup", "pointercancel"].forEach(kind => big.addEventListener(kind, e => fingers.delete(e.pointerId)));
big.addEventListener("pointermove", e => {
  const before = fingers.get(e.pointerId);
  if (!before) return;
  const other = [...fingers.values()].find(f => f.pointerId !== e.pointerId);
  if (other) {
    const far = (a, b) => Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY) || 1;
    zoom(far(e, other) / far(before, other), (e.clientX + other.clientX) / 2, (e.clientY + other.clientY) / 2);
  } else { x += e.clientX - before.clientX; y += e.clientY - before.clientY; draw(); }
  fingers.set(e.pointerId, e);
});
box.querySelector("[data-do=in]").onclick = () => zoom(1.6);
box.querySelector("[data-do=out]").onclick = () => zoom(1 / 1.6);
box.querySelector("[data-do=close]").onclick = () => box.close();
box.addEventListener("close", () => fingers.clear());
addEventListener("resize", () => box.open && fit());
