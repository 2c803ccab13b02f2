// Draws the chart of a figure from its Vega-Lite specification, and keeps it up to date.
// `ast` has Vega interpret its expressions: the page's policy allows no code made from text.

const OPTIONS = {
  ast: true,
  actions: false,
  defaultStyle: false,
  renderer: "svg",
  tooltip: { disableDefaultStyle: true },
};

async function load(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address}: status ${answer.status}`);
  return answer.json();
}

// Milliseconds on the clocks of the account's zone, as if they were UTC: the offset is cut off.
function clock(moment) {
  return Date.parse(`${moment.slice(0, 19)}Z`);
}

async function loadRows(figure) {
  const rows = await load(figure.dataset.rows);
  return rows.map((row) => ({ ...row, start: clock(row.start), end: clock(row.end) }));
}

export async function drawChart(figure) {
  const [specification, schemes, firstRows] = await Promise.all([
    load(figure.dataset.specification),
    load(figure.dataset.schemes),
    loadRows(figure),
    import(figure.dataset.engine),
  ]);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let rows = firstRows;
  let drawn = null;

  async function draw() {
    drawn?.finalize();
    const sized = {
      ...specification,
      width: "container",
      height: 220,
      autosize: { type: "fit-x", contains: "padding" },
      data: { name: "timeline", values: rows },
      config: schemes[dark.matches ? "dark" : "light"],
    };
    drawn = await globalThis.vegaEmbed(figure, sized, OPTIONS);
  }

  dark.addEventListener("change", draw);
  await draw();
  return {
    async update() {
      rows = await loadRows(figure);
      await drawn.view.data("timeline", rows).runAsync();
    },
    close() {
      dark.removeEventListener("change", draw);
      drawn?.finalize();
    },
  };
}
