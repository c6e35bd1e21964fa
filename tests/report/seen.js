/* What the tests see in a page: contrast of every text, size of every target, the pixels of its first lines on every canvas. */
window.seen = {
  contrasts() {
    const parts = (text) => (text.match(/[\d.]+/g) || []).map(Number);
    const over = (top, below) => {
      const alpha = top.length > 3 ? top[3] : 1;
      return [0, 1, 2].map((at) => top[at] * alpha + below[at] * (1 - alpha));
    };
    const ground = (node) => {
      const layers = [];
      for (let one = node; one; one = one.parentElement) layers.push(parts(getComputedStyle(one).backgroundColor));
      return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
    };
    const light = (rgb) => {
      const [r, g, b] = rgb.map((one) => one / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = [];
    while (walker.nextNode()) {
      const node = walker.currentNode.parentElement;
      const text = walker.currentNode.textContent.trim();
      if (!text || !node.checkVisibility() || node.closest("script, style, noscript")) continue;
      const below = ground(node);
      const [high, low] = [light(over(parts(getComputedStyle(node).color), below)), light(below)].sort((a, b) => b - a);
      found.push([text.slice(0, 40), (high + 0.05) / (low + 0.05)]);
    }
    return found;
  },
  canvases() {
    const rgb = (name) => {
      const swatch = document.createElement("canvas").getContext("2d");
      swatch.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
      swatch.fillRect(0, 0, 1, 1);
      return [...swatch.getImageData(0, 0, 1, 1).data];
    };
    const colours = ["--line-1", "--line-2"].map(rgb);
    return [...document.querySelectorAll(".plot")].map((plot) => {
      const canvas = plot.querySelector("canvas");
      const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      const ink = colours.map(([r, g, b]) => {
        let count = 0;
        for (let at = 0; at < pixels.length; at += 4) {
          const far = Math.abs(pixels[at] - r) + Math.abs(pixels[at + 1] - g) + Math.abs(pixels[at + 2] - b);
          if (far < 30 && pixels[at + 3] > 200) count += 1;
        }
        return count;
      });
      const box = canvas.getBoundingClientRect();
      return { title: plot.querySelector("h3").textContent, width: box.width, height: box.height, ink };
    });
  },
  targets() {
    return [...document.querySelectorAll("button, summary, .overview a, .back, .track a")]
      .filter((node) => node.checkVisibility())
      .map((node) => [node.textContent.trim() || node.className, node.getBoundingClientRect()])
      .map(([name, box]) => [name, box.width, box.height]);
  },
};
