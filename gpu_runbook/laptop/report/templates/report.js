/* Draws the plots, and lets a person look closer. The page says everything without it but the plots. */
(() => {
  "use strict";

  const root = document.documentElement;
  const DAY = 86400;
  const HEIGHT = 168;
  const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const COLOURS = 8;
  const NONE = "–";
  const HINT = "Point at a strip, or tap it, to read what was.";
  const everyPlot = [];

  const make = (tag, props = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), props);
    node.append(...children);
    return node;
  };

  const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  const two = (number) => String(number).padStart(2, "0");
  const day = (at) => `${new Date(at * 1000).getUTCDate()} ${MONTHS[new Date(at * 1000).getUTCMonth()]}`;
  const clock = (at) => `${two(new Date(at * 1000).getUTCHours())}:${two(new Date(at * 1000).getUTCMinutes())}`;

  /* Numbers */

  const number = (value, digits) => value.toLocaleString("en", { maximumFractionDigits: digits });
  const short = (value) => value.toLocaleString("en", { notation: "compact", maximumFractionDigits: 2 });
  const withUnit = (value, plot, total) => (value == null ? NONE : `${number(value, plot.digits)} ${total || plot.unit}`);

  /* The time axis, in UTC */

  const STEPS = [300, 900, 1800, 3600, 7200, 10800, 21600, 43200, DAY, 2 * DAY, 5 * DAY, 10 * DAY, 30 * DAY];

  const ticks = (from, to, most) => {
    const step = STEPS.find((one) => (to - from) / one <= most) || Math.ceil((to - from) / most / DAY) * DAY;
    const found = [];
    for (let at = Math.ceil(from / step) * step; at <= to; at += step) found.push(at);
    return found;
  };

  const label = (at) => (at % DAY === 0 ? day(at) : clock(at));

  /* One plot */

  function axes() {
    const stroke = () => colour("muted");
    const grid = { stroke: () => colour("grid"), width: 1 };
    const common = { stroke, grid, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    return [
      {
        ...common,
        size: 26,
        gap: 6,
        splits: (plot, index, from, to) => ticks(from, to, Math.max(2, Math.floor(plot.bbox.width / uPlot.pxRatio / 64))),
        values: (plot, found) => found.map(label),
      },
      { ...common, size: 46, gap: 6, space: 34, values: (plot, found) => found.map(short) },
    ];
  }

  /* A point that has no neighbour would be no line. */
  function lonely(plot, series) {
    const values = plot.data[series];
    return values.flatMap((value, at) => (value != null && values[at - 1] == null && values[at + 1] == null ? [at] : []));
  }

  function line(one, index, alone) {
    const name = `line-${(index % COLOURS) + 1}`;
    return {
      label: one.label,
      stroke: () => colour(name),
      fill: alone ? () => `${colour(name)}1f` : undefined,
      width: 1.5,
      dash: index >= COLOURS ? [5, 4] : undefined,
      spanGaps: false,
      points: { show: true, size: 4, filter: lonely, fill: () => colour(name) },
    };
  }

  function drawMarks(plot, server) {
    const [from, to] = server.range;
    plot.marks.replaceChildren(
      ...server.data.runs
        .filter((run) => run.at >= from && run.at <= to)
        .map((run) => {
          const mark = make("i", { className: run.style });
          mark.style.left = `${((run.at - from) / (to - from)) * 100}%`;
          return mark;
        }),
    );
  }

  function legend(figure, plot, wanted) {
    const values = figure.querySelector(".values");
    wanted.lines.forEach((one, index) => {
      const swatch = make("i");
      const name = `var(--line-${(index % COLOURS) + 1})`;
      swatch.style.cssText = `background:${index < COLOURS ? name : "none"};border-color:${name}`;
      const button = make("button", { type: "button" }, swatch, one.label, make("b"));
      button.setAttribute("aria-pressed", "true");
      button.addEventListener("click", () => {
        const show = button.getAttribute("aria-pressed") === "false";
        button.setAttribute("aria-pressed", String(show));
        plot.setSeries(index + 1, { show });
      });
      values.append(button);
    });
  }

  const last = (values, range, times) => {
    let at = times.length - 1;
    while (at >= 0 && (values[at] == null || times[at] > range[1])) at -= 1;
    return at < 0 ? null : values[at];
  };

  /* Without a cursor: what was known last of the time that is shown. */
  function tellValues(figure, plot, wanted, server) {
    const at = plot.cursor.left >= 0 ? plot.cursor.idx : null;
    figure.querySelector(".at").textContent = at == null ? "" : `${day(plot.data[0][at])} ${clock(plot.data[0][at])}`;
    figure.querySelectorAll(".values b").forEach((node, index) => {
      const { values, total } = wanted.lines[index];
      node.textContent = withUnit(at == null ? last(values, server.range, server.data.times) : values[at], wanted, total);
    });
  }

  function draw(figure, server) {
    const wanted = server.data.plots[Number(figure.dataset.plot)];
    const place = figure.querySelector(".canvas");
    const top = (from, to) => [Math.min(from ?? 0, 0), Math.max((to ?? 0) * (to > wanted.top ? 1.08 : 1), wanted.top)];
    const options = {
      width: place.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: {
        y: false,
        drag: { x: true, y: false, setScale: false },
        points: { size: 7 },
        sync: { key: server.key, scales: ["x", null] },
        bind: { dblclick: () => () => show(server, server.whole) },
      },
      scales: { x: { time: true, range: () => server.range }, y: { range: (plot, from, to) => top(from, to) } },
      axes: axes(),
      series: [{}, ...wanted.lines.map((one, index) => line(one, index, wanted.lines.length === 1))],
      hooks: {
        setCursor: [(plot) => (tellValues(figure, plot, wanted, server), follow(server, plot))],
        setSelect: [(plot) => select(server, plot)],
      },
    };
    const plot = new uPlot(options, [server.data.times, ...wanted.lines.map((one) => one.values)], place);
    plot.marks = make("div", { className: "marks" });
    plot.over.append(plot.marks);
    plot.tell = () => tellValues(figure, plot, wanted, server);
    legend(figure, plot, wanted);
    drawMarks(plot, server);
    plot.tell();
    new ResizeObserver(() => requestAnimationFrame(() => resize(plot, place))).observe(place);
    everyPlot.push(plot);
    return plot;
  }

  function resize(plot, place) {
    if (place.clientWidth && place.clientWidth !== plot.width) plot.setSize({ width: place.clientWidth, height: HEIGHT });
  }

  /* Looking closer: the strips and all plots of a server show the same time. */

  function show(server, [from, to]) {
    const [start, end] = server.whole;
    server.range = [Math.max(from, start), Math.min(to, end)];
    const shown = server.range[1] - server.range[0];
    server.node.querySelectorAll(".lanes .span").forEach((span) => {
      span.style.width = `${((end - start) / shown) * 100}%`;
      span.style.left = `${((start - server.range[0]) / shown) * 100}%`;
    });
    server.plots.forEach((plot) => {
      plot.setScale("x", { min: server.range[0], max: server.range[1] });
      drawMarks(plot, server);
      plot.tell();
    });
    relabel(server);
    server.buttons.forEach((button) => button.setAttribute("aria-pressed", String(isShown(server, button.range))));
  }

  const isShown = (server, range) => range.every((at, index) => Math.abs(at - server.range[index]) < 1);

  function relabel(server) {
    const span = server.node.querySelector(".axis .span");
    if (!span) return;
    const [from, to] = server.range;
    const room = Math.max(2, Math.floor(span.parentNode.clientWidth / 72));
    const placed = ticks(from, to, Math.min(room, 10)).map((at) => [at, ((at - from) / (to - from)) * 100]);
    span.classList.add("fitted");
    span.style.cssText = "left:0;width:100%";
    span.replaceChildren(
      ...placed.filter(([, percent]) => percent > 3 && percent < 97).map(([at, percent]) => {
        const node = make("span", { textContent: label(at) });
        node.style.left = `${percent}%`;
        return node;
      }),
    );
  }

  function select(server, plot) {
    const { left, width } = plot.select;
    if (width > 8) show(server, [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")]);
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
  }

  function ranges(server) {
    const [start, end] = server.whole;
    const choices = [["6 h", 6 * 3600], ["24 h", DAY], ["7 days", 7 * DAY]].filter(([, length]) => length < end - start);
    server.buttons = choices.length ? [...choices, ["all", end - start]].map(([text, length]) => {
      const button = make("button", { type: "button", textContent: text, range: [end - length, end] });
      button.addEventListener("click", () => show(server, button.range));
      return button;
    }) : [];
    server.node.querySelector(".ranges").append(...server.buttons);
  }

  /* One cursor for strips and plots */

  function follow(server, plot) {
    const cursor = server.node.querySelector(".cursor");
    if (!cursor) return;
    cursor.hidden = !(plot.cursor.left >= 0);
    if (!cursor.hidden) cursor.style.left = `${(plot.cursor.left / plot.over.clientWidth) * 100}%`;
  }

  function point(server, lanes, event) {
    const box = lanes.querySelector(".track").getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    const [from, to] = server.range;
    const inside = share >= 0 && share <= 1;
    server.plots.forEach((plot) => plot.setCursor({ left: inside ? share * plot.over.clientWidth : -10, top: 10 }));
    const cursor = lanes.querySelector(".cursor");
    cursor.hidden = !inside;
    cursor.style.left = `${share * 100}%`;
    const told = event.target.closest?.("[title]");
    const at = from + share * (to - from);
    server.readout.textContent = inside ? `${day(at)} ${clock(at)} UTC${told ? `: ${told.title}` : ""}` : HINT;
  }

  function strips(server) {
    const lanes = server.node.querySelector(".lanes");
    if (!lanes) return;
    server.readout = server.node.querySelector(".readout");
    server.readout.textContent = HINT;
    lanes.addEventListener("pointermove", (event) => point(server, lanes, event));
    lanes.addEventListener("pointerdown", (event) => point(server, lanes, event));
    lanes.addEventListener("pointerleave", (event) => {
      if (event.pointerType !== "mouse") return;
      lanes.querySelector(".cursor").hidden = true;
      server.plots.forEach((plot) => plot.setCursor({ left: -10, top: -10 }));
      server.readout.textContent = HINT;
    });
    relabel(server);
    new ResizeObserver(() => requestAnimationFrame(() => relabel(server))).observe(lanes);
    ranges(server);
  }

  /* The page */

  function theme() {
    const button = document.getElementById("theme");
    const prefers = matchMedia("(prefers-color-scheme: dark)");
    const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : prefers.matches);
    const tell = () => {
      button.textContent = isDark() ? "Light" : "Dark";
      button.setAttribute("aria-label", `${button.textContent} colours`);
      everyPlot.forEach((plot) => plot.redraw(false, true));
    };
    button.hidden = false;
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      tell();
    });
    prefers.addEventListener("change", tell);
    let before;
    addEventListener("beforeprint", () => {
      before = root.dataset.theme;
      root.dataset.theme = "light";
      tell();
    });
    addEventListener("afterprint", () => {
      if (before) root.dataset.theme = before;
      else delete root.dataset.theme;
      tell();
    });
    tell();
  }

  function localTimes() {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    document.querySelectorAll("time").forEach((node) => {
      const at = new Date(node.dateTime);
      if (!Number.isNaN(at.getTime())) node.title = `${at.toLocaleString()} where you are (${zone})`;
    });
  }

  document.querySelectorAll(".server").forEach((node) => {
    const source = node.querySelector("script.data");
    if (!source) return;
    const data = JSON.parse(source.textContent);
    const whole = [data.start, data.end];
    const server = { node, data, whole, range: whole, key: node.id, plots: [], buttons: [] };
    strips(server);
    server.plots = [...node.querySelectorAll(".plot")].map((figure) => draw(figure, server));
    show(server, whole);
  });
  theme();
  localTimes();
  setTimeout(() => {
    root.dataset.ready = "";
  });
})();
