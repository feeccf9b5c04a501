/**
 * The page's only stylesheet. Light and dark come from the reader's system; all texts keep a
 * contrast of 4.5:1 in both.
 */

export const STYLESHEET = `:root {
  color-scheme: light dark;
  --paper: #fff; --panel: #f6f7f9; --ink: #17202c; --quiet: #556070; --line: #d5dae1; --link: #0b57b0;
  --good: #12683b; --good-back: #e3f4ea; --busy: #7a4d00; --busy-back: #fdf0d5; --bad: #a81e1e; --bad-back: #fde7e7;
  --none: #4a5565; --none-back: #e9ecf1; --bar: #2f6fbd; --bar-light: #a9c7ec; --bar-bad: #c23434; --bar-bad-light: #eeb0b0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #10151c; --panel: #18202a; --ink: #e5eaf1; --quiet: #a3afbf; --line: #313c4a; --link: #8dbcff;
    --good: #7fdba6; --good-back: #123524; --busy: #f3c66d; --busy-back: #3b2c0b; --bad: #ff9d9d; --bad-back: #451a1c;
    --none: #b6c1d0; --none-back: #28323f; --bar: #6aa5ee; --bar-light: #2d4f7c; --bar-bad: #f07f7f; --bar-bad-light: #6d2f33;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
header, main, #connection { max-width: 76rem; margin: 0 auto; padding: 0 1rem; }
header { display: flex; flex-wrap: wrap; align-items: center; gap: .25rem 1.25rem; padding-top: .75rem; padding-bottom: .75rem; border-bottom: 1px solid var(--line); }
header form { margin-left: auto; }
main { padding-bottom: 3rem; outline: none; overflow-wrap: anywhere; }
main.narrow { max-width: 34rem; }
.brand { font-weight: 700; color: var(--ink); text-decoration: none; }
.brand svg { width: 1em; height: 1em; margin-right: .35em; vertical-align: -.08em; fill: var(--bar); }
#connection { background: var(--busy-back); color: var(--busy); }
#connection:not(:empty) { padding-top: .5rem; padding-bottom: .5rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 1.25rem 0 .5rem; }
h1 .quiet { font-size: 1rem; font-weight: 400; }
h2 { font-size: 1.2rem; line-height: 1.3; margin: 2.25rem 0 .75rem; }
h3 { font-size: 1rem; margin: 0 0 .5rem; }
p { margin: .5rem 0; }
a { color: var(--link); text-underline-offset: .15em; }
a:focus-visible, button:focus-visible, input:focus-visible, summary:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; border-radius: 3px; }
.skip { position: absolute; left: -100rem; }
.skip:focus { position: static; display: block; padding: .5rem 1rem; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.quiet { color: var(--quiet); }
.code, code { font-family: ui-monospace, monospace; font-size: .875em; }
.bad { color: var(--bad); }
.say { font-size: 1.05rem; }
.warning, .banner { border-left: .3rem solid var(--busy); background: var(--busy-back); color: var(--ink); padding: .5rem .75rem; }
.banner { margin: 1rem 0; }
.banner p { margin: .25rem 0; }
.warning .mark, .banner .mark { color: var(--busy); font-weight: 700; }
.badge { display: inline-block; padding: 0 .5rem; margin-right: .25rem; border-radius: 1rem; font-weight: 600; font-size: .875rem; white-space: nowrap; background: var(--none-back); color: var(--none); }
.badge.ready { background: var(--good-back); color: var(--good); }
.badge.reconciling { background: var(--busy-back); color: var(--busy); }
.badge.stalled, .badge.drift { background: var(--bad-back); color: var(--bad); }
ul, ol { padding-left: 1.25rem; }
nav ul, .steps { list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: .25rem 1rem; }
nav a[aria-current] { color: var(--ink); font-weight: 700; text-decoration: none; border-bottom: 3px solid var(--link); }
.filters { display: flex; flex-wrap: wrap; gap: .5rem 2rem; align-items: center; margin-bottom: .75rem; }
.filters nav a { display: inline-block; padding: .25rem 0; text-decoration: none; }
.filters nav a:hover .count { text-decoration: underline; }
.filters form { display: flex; flex-wrap: wrap; align-items: center; gap: .35rem .5rem; }
.count { font-variant-numeric: tabular-nums; }
form label { font-size: .9375rem; }
button, input { font: inherit; color: var(--ink); background: var(--panel); border: 1px solid var(--quiet); border-radius: .3rem; padding: .25rem .6rem; max-width: 100%; }
button { cursor: pointer; }
.narrow form > * { display: block; margin: .5rem 0; }
.narrow input { width: 100%; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--quiet); padding: .25rem 0; }
th, td { text-align: left; vertical-align: top; padding: .5rem .75rem .5rem 0; border-bottom: 1px solid var(--line); font-weight: 400; }
thead th { color: var(--quiet); font-size: .875rem; white-space: nowrap; }
time { white-space: nowrap; }
main > nav { margin-top: .75rem; }
tbody th { font-weight: 600; }
.cards td > span, .cards th > span { display: block; font-size: .875rem; font-weight: 400; }
.cards td > .badge, .cards td > .badge + .quiet { display: inline-block; }
.cards td:last-child { min-width: 6rem; }
.clipped { display: -webkit-box !important; -webkit-box-orient: vertical; -webkit-line-clamp: 3; overflow: hidden; }
.figures { width: auto; font-size: .9375rem; }
.figures td, .figures thead th:not(:first-child) { text-align: right; }
.figures td:last-child, .figures thead th:last-child { text-align: left; }
.bars { display: block; width: 100%; background: var(--panel); }
.bars.small { height: 2.25rem; min-width: 7rem; max-width: 16rem; margin-bottom: .25rem; }
.bars.large { height: 12rem; border-bottom: 2px solid var(--quiet); }
.bars .average { fill: var(--bar); }
.bars .most { fill: var(--bar-light); }
.bars .average.above { fill: var(--bar-bad); }
.bars .most.above { fill: var(--bar-bad-light); }
.bars .silent { fill: none; stroke: var(--bar-bad); stroke-dasharray: 4 3; vector-effect: non-scaling-stroke; }
.bars line { stroke: var(--ink); stroke-width: 2; vector-effect: non-scaling-stroke; }
.bars .mean { stroke-dasharray: 1 4; }
.bars .limit { stroke: var(--bad); stroke-dasharray: 7 4; }
.bars.small line { stroke-width: 1; }
.sizes { display: block; width: 100%; height: 12rem; background: var(--panel); border-bottom: 2px solid var(--quiet); }
.sizes polyline, .sizes line { fill: none; stroke-width: 2; vector-effect: non-scaling-stroke; }
.sizes .fullest { stroke: var(--bar); }
.sizes .member { stroke: var(--bar-light); }
.sizes .limit { stroke: var(--bad); stroke-dasharray: 7 4; }
figure { margin: .75rem 0; }
figcaption { margin-top: .4rem; font-size: .9375rem; }
details { margin: .5rem 0; overflow-x: auto; }
summary { cursor: pointer; width: fit-content; color: var(--link); }
article { background: var(--panel); border: 1px solid var(--line); border-radius: .5rem; padding: .75rem 1rem; margin: .75rem 0; }
.progress { display: flex; align-items: center; gap: .75rem; font-variant-numeric: tabular-nums; }
progress { flex: 1; height: .9rem; min-width: 0; accent-color: var(--bar); appearance: none; border: 0; border-radius: .5rem; overflow: hidden; background: var(--none-back); }
progress::-webkit-progress-bar { background: var(--none-back); }
progress::-webkit-progress-value { background: var(--bar); transition: inline-size .6s linear; }
progress::-moz-progress-bar { background: var(--bar); }
.steps li { color: var(--quiet); }
.steps .done { color: var(--good); }
.steps .now { color: var(--ink); font-weight: 700; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(17rem, 100%), 1fr)); gap: .5rem 1.5rem; margin: .75rem 0; }
.facts dt { color: var(--quiet); font-size: .875rem; }
.facts dd { margin: 0; font-variant-numeric: tabular-nums; }
.pages { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; margin-top: .75rem; }
@media (max-width: 46rem) {
  .cards, .cards tbody, .cards tr, .cards th, .cards td { display: block; width: 100%; }
  .cards thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .cards tr { border: 1px solid var(--line); border-radius: .5rem; padding: .5rem .75rem; margin-bottom: .75rem; }
  .cards th, .cards td { border: 0; padding: .25rem 0; }
  .cards td::before { content: attr(data-label); content: attr(data-label) / ""; display: block; color: var(--quiet); font-size: .75rem; text-transform: uppercase; letter-spacing: .04em; }
  .bars.small { max-width: none; }
  .figures { width: 100%; font-size: .875rem; }
  .figures th, .figures td { padding-right: .4rem; }
  header { gap: .25rem .75rem; }
  header button { font-size: .875rem; padding: .1rem .45rem; }
  header nav ul { gap: .25rem .75rem; }
  .facts { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .filters form { width: 100%; }
  .filters label { width: 100%; }
  .filters input[type=search] { flex: 1; min-width: 0; }
}
@media (prefers-reduced-motion: reduce) { progress::-webkit-progress-value { transition: none; } }
@media (forced-colors: active) { .badge, article, .banner { border: 1px solid CanvasText; } .bars rect { fill: CanvasText; } .sizes polyline, .sizes line { stroke: CanvasText; } }
`;
