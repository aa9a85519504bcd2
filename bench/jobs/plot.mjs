// Draws what a job costs, as multiples of the first program of each group, as an SVG that reads on light and dark: npm run jobs-plot. The figures are those of the tables
// after the marker in bench/README.md.
import { readFileSync, writeFileSync } from "node:fs"

const file = (path) => new URL(`../../${path}`, import.meta.url)
const marker = "<!-- npm run jobs-plot -->"
const [width, left, right, top, row, bar] = [950, 470, 50, 64, 54, 14]

const style = `
  text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #1f2328 }
  .quiet { fill: #59636e }
  .grid { stroke: #d0d7de }
  .cpu { fill: #9a6700 }
  .rate { fill: #0969da }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .quiet { fill: #9198a1 }
    .grid { stroke: #3d444d }
    .cpu { fill: #d29922 }
    .rate { fill: #4493f8 }
  }`

/** The rows of the tables: a cell of the first column that is empty is that of the row before. */
const comparisons = () => {
  const [, section = ""] = readFileSync(file("bench/README.md"), "utf8").split(marker)
  const rows = section.split("\n## ")[0].split("\n").filter((line) => /^\| .*\d us/.test(line))
  let [job, first] = ["", ""]
  return rows.map((line) => line.split("|").slice(1, -1).map((cell) => cell.replaceAll("`", "").trim())).flatMap(([of, program, , cpu, , rate]) => {
    if (of !== "") [job, first] = [of, program]
    return program === first ? [] : [{ job, first, program, cpu: Number(cpu), rate: Number(rate) }]
  })
}

const escape = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")

const draw = (rows) => {
  const octaves = Math.ceil(Math.max(...rows.flatMap(({ cpu, rate }) => [cpu, rate].map((ratio) => Math.abs(Math.log2(ratio))))))
  const height = top + row * rows.length + 24
  const x = (ratio) => Math.round(left + (width - left - right) * (Math.log2(ratio) + octaves) / (2 * octaves))
  const ticks = Array.from({ length: 2 * octaves + 1 }, (_, n) => 2 ** (n - octaves))
  const drawBar = (kind, ratio, y) => [
    `<rect class="${kind}" x="${Math.min(x(1), x(ratio))}" y="${y}" width="${Math.max(1, Math.abs(x(ratio) - x(1)))}" height="${bar}" rx="2"/>`,
    `<text x="${Math.max(x(1), x(ratio)) + 6}" y="${y + 11}">${ratio}</text>`
  ]
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    "<title>What a job costs, as a multiple of another program</title>",
    `<style>${style}\n</style>`,
    `<rect class="cpu" x="12" y="12" width="12" height="12"/><text x="30" y="23">CPU per job, less is better</text>`,
    `<rect class="rate" x="${left}" y="12" width="12" height="12"/><text x="${left + 18}" y="23">jobs per second, more is better</text>`,
    ...ticks.flatMap((ratio) => [
      `<line class="grid" x1="${x(ratio)}" x2="${x(ratio)}" y1="${top - 8}" y2="${height - 16}"/>`,
      `<text class="quiet" x="${x(ratio)}" y="${top - 14}" text-anchor="middle">${ratio < 1 ? `1/${1 / ratio}` : ratio}</text>`
    ]),
    ...rows.flatMap(({ cpu, first, job, program, rate }, n) => {
      const y = top + row * n
      return [
        `<text x="12" y="${y + 11}">${escape(`a job ${job}`)}</text>`,
        `<text class="quiet" x="12" y="${y + 29}">${escape(`${program}, to ${first}`)}</text>`,
        ...drawBar("cpu", cpu, y),
        ...drawBar("rate", rate, y + 18)
      ]
    }),
    "</svg>\n"
  ].join("\n")
}

writeFileSync(file("docs/jobs-cost.svg"), draw(comparisons()))
