// Draws a shutdown report as an SVG that reads on light and dark: npm run timeline, from docs/drain.json to docs/drain.svg. The
// report is that of a real run, which SHUTDOWN_REPORT has written; another one: node scripts/timeline.mjs <report.json> <picture.svg>.
import { readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath, pathToFileURL } from "node:url"

const width = 830
const left = 110
const right = 340
const top = 44
const row = 30

const style = `
  text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #1f2328 }
  .quiet { fill: #59636e }
  .track { fill: #eaeef2 }
  .lame { fill: #d0d7de; opacity: 0.6 }
  .Drained { fill: #1a7f37 }
  .Interrupted { fill: #9a6700 }
  .Abandoned { fill: #cf222e }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .quiet { fill: #9198a1 }
    .track { fill: #21262d }
    .lame { fill: #3d444d }
    .Drained { fill: #3fb950 }
    .Interrupted { fill: #d29922 }
    .Abandoned { fill: #f85149 }
  }`

const time = (millis) => millis < 1000 ? `${Math.round(millis)}ms` : `${Number((millis / 1000).toFixed(1))}s`

const counts = ({ cut, finished, handedBack }) =>
  [[finished, "finished"], [handedBack, "handed back"], [cut, "cut"]]
    .filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`).join(", ")

const escape = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")

/** The picture of an encoded report. */
export const draw = (report) => {
  const scale = (millis) => Math.round(millis / report.elapsed * (width - left - right) * 10) / 10
  const height = top + row * report.drains.length + 34
  const title = `${report.cause}: stopped in ${time(report.elapsed)} of ${time(report.gracePeriod)}`
  const rows = report.drains.flatMap((drain, index) => {
    const y = top + row * index
    const label = [time(drain.elapsed), drain.outcome, counts(drain)].filter((part) => part !== "").join("  ")
    return [
      `<text x="12" y="${y + 15}">${escape(drain.name)}</text>`,
      `<rect class="track" x="${left}" y="${y + 4}" width="${width - left - right}" height="14" rx="3"/>`,
      `<rect class="${drain.outcome}" x="${left + scale(drain.started)}" y="${y + 4}" width="${
        Math.max(4, scale(drain.elapsed))
      }" height="14" rx="3"/>`,
      `<text x="${width - right + 12}" y="${y + 15}">${escape(label)}</text>`
    ]
  })
  const lame = report.preStopDelay === 0 ? [] : [
    `<rect class="lame" x="${left}" y="${top}" width="${scale(report.preStopDelay)}" height="${
      height - top - 30
    }" rx="3"/>`,
    `<text class="quiet" x="${left}" y="${height - 14}">lame duck ${
      time(report.preStopDelay)
    }, then drains in the order of the graph</text>`
  ]
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    `<title>${escape(title)}</title>`,
    `<style>${style}\n</style>`,
    `<text x="12" y="24">${escape(title)}</text>`,
    ...rows,
    ...lame,
    `<text class="quiet" x="12" y="${height - 14}">exit ${report.exitCode}</text>`,
    "</svg>\n"
  ].join("\n")
}

const docs = (name) => fileURLToPath(new URL(`../docs/${name}`, import.meta.url))

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [from = docs("drain.json"), to = docs("drain.svg")] = process.argv.slice(2)
  writeFileSync(to, draw(JSON.parse(readFileSync(from, "utf8"))))
}
