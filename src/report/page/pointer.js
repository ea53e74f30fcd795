// Zoom, pan, hover and click on a diagram.

/** The wheel, a drag and two fingers move the shared window; d3-zoom turns them into a scale and a shift. */
function attachZoom(lanes, state) {
  const canvas = d3.select(lanes.canvas);
  let isOwn = false;
  const zoom = d3.zoom().scaleExtent([1, state.end / 1e-3])
    .filter((event) => !event.button && (event.type !== "wheel" || (!event.shiftKey && !isOnNames(lanes, event))))
    .on("zoom", ({ transform, sourceEvent }) => {
      if (!sourceEvent || isOwn) return;
      const base = d3.scaleLinear([0, state.end], [lanes.gutter, lanes.width - RIGHT]);
      const [t0, t1] = transform.rescaleX(base).domain();
      state.setWindow(t0, t1);
    });
  canvas.call(zoom).on("dblclick.zoom", null);
  lanes.canvas.addEventListener("wheel", (event) => {
    if (isOnNames(lanes, event)) return;
    if (!event.shiftKey && Math.abs(event.deltaX) <= Math.abs(event.deltaY)) return;
    event.preventDefault();
    const [t0, t1] = state.window;
    const by = (event.deltaX || event.deltaY) * lanes.perPixel;
    state.setWindow(t0 + by, t1 + by);
  }, { passive: false });
  /** Tells d3-zoom of a window that came from elsewhere. */
  return () => {
    const [t0, t1] = state.window;
    const left = lanes.gutter, width = lanes.width - RIGHT - left;
    const k = state.end / (t1 - t0);
    const x = left - k * (left + (t0 / state.end) * width);
    isOwn = true;
    canvas.property("__zoom", d3.zoomIdentity.translate(x, 0).scale(k));
    isOwn = false;
  };
}

/** Over the hosts' names the wheel scrolls the lanes, where they do not all have room. */
function isOnNames(lanes, event) { return lanes.overflow > 0 && event.offsetX < lanes.gutter; }

function attachPointer(lanes, state, tip) {
  const { canvas, run } = lanes;
  let down = null, lastHits = "", turn = 0;
  const leave = () => { tip.hidden = true; lanes.hover = null; };
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener("pointermove", (event) => {
    if (event.buttons) {
      leave();
      if (down && lanes.overflow) lanes.box.scrollTop -= event.movementY;
      return;
    }
    const [x, y] = at(event);
    const hits = recordsAt(lanes, x, y);
    canvas.style.cursor = hits.length ? "pointer" : "grab";
    lanes.hover = hits[0] ?? null;
    showTip(tip, run, hits, event);
  });
  canvas.addEventListener("pointerleave", leave);
  lanes.box.addEventListener("scroll", () => { leave(); page.draw(); });
  state.listen((what) => { if (what === "window") leave(); });
  canvas.addEventListener("pointerdown", (event) => { down = [event.clientX, event.clientY]; });
  canvas.addEventListener("click", (event) => {
    if (!down || Math.hypot(event.clientX - down[0], event.clientY - down[1]) > 4) return;
    const [x, y] = at(event);
    const hits = recordsAt(lanes, x, y);
    if (!hits.length) {
      if (x > lanes.gutter) state.setMoment(lanes.x.invert(x));
      return;
    }
    turn = hits.join() === lastHits ? (turn + 1) % hits.length : 0;
    lastHits = hits.join();
    go(run.index, hits[turn]);
  });
  canvas.addEventListener("dblclick", (event) => state.zoomBy(4, lanes.x.invert(at(event)[0])));
}

function showTip(tip, run, hits, event) {
  tip.hidden = !hits.length;
  if (!hits.length) return;
  const lines = hits.slice(0, 4).map((n) => make("div", {}, make("b", { textContent: `${moment(run.t[n])} ${run.hostName(n) ?? ""} ` }), recordWords(run, n)));
  if (hits.length > 4) lines.push(make("div", { className: "empty", textContent: `and ${hits.length - 4} more: click again for the next` }));
  tip.replaceChildren(...lines);
  const width = tip.offsetWidth, height = tip.offsetHeight;
  tip.style.left = `${Math.min(event.clientX + 14, innerWidth - width - 8)}px`;
  tip.style.top = `${event.clientY + 18 + height > innerHeight ? event.clientY - height - 12 : event.clientY + 18}px`;
}
