"""The page's style sheet: light and dark, from 360 pixels upwards."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1d2229; --soft: #5b6470; --rule: #d8dde3; --box: #f5f7f9;
  --link: #0b5cad; --mark: #9a3412; --cut: #d00000;
  --c0: #0b66c3; --c1: #c2410c; --c2: #15803d; --c3: #9333ea; --c4: #b45309; --c5: #0e7490; --c6: #be185d;
  --c7: #52525b }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171b; --ink: #e6e9ed; --soft: #a3adb8; --rule: #343b44; --box: #1c2127; --link: #7cb7ff;
    --mark: #fdba74; --cut: #ff6b6b;
    --c0: #6bb0ff; --c1: #ff9b66; --c2: #5fd38a; --c3: #cf9bff; --c4: #f0c04e; --c5: #5ccfe6; --c6: #ff8ac0;
    --c7: #b4b8bf } }
* { box-sizing: border-box }
html { -webkit-text-size-adjust: 100% }
body { margin: 0 auto; max-width: 72rem; padding: 1rem clamp(.75rem, 3vw, 2rem) 3rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0 }
h2 { font-size: 1.3rem; line-height: 1.3; margin: 2.5rem 0 .5rem; padding-top: .75rem;
  border-top: 1px solid var(--rule) }
h3 { font-size: 1.05rem; margin: 1.5rem 0 .25rem }
p, ul, dl { max-width: 48rem; margin: .5rem 0 }
a { color: var(--link) }
nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; max-width: none }
nav a { display: inline-block; padding: .25rem 0 }
code { font: .9em ui-monospace, monospace; background: var(--box); padding: .1em .3em; border-radius: 3px;
  overflow-wrap: anywhere }
dt { font-weight: 600; margin-top: .75rem }
dd { margin: 0 }
.soft, figcaption, footer, caption { color: var(--soft) }
.notes { font-size: .875rem; color: var(--soft) }
.warning { border-left: 4px solid var(--mark); background: var(--box); padding: .5rem .75rem }
.simulated { color: var(--mark); font-weight: 600 }
.scroll { overflow-x: auto; max-width: 100%; margin: .75rem 0; border: 1px solid var(--rule); border-radius: 6px }
.scroll:focus-visible, a:focus-visible, summary:focus-visible { outline: 2px solid var(--link); outline-offset: 2px }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums }
caption { text-align: left; padding: .5rem .75rem; font-size: .875rem; caption-side: top }
caption span { display: inline-block; position: sticky; left: .75rem; max-width: calc(100vw - 3.5rem) }
th, td { padding: .35rem .75rem; text-align: right; white-space: nowrap; border-top: 1px solid var(--rule);
  vertical-align: top }
th { font-weight: 600 }
thead tr:first-child th:first-child, tbody th { text-align: left; white-space: normal; min-width: 7rem;
  max-width: 16rem; position: sticky; left: 0; background: var(--paper); z-index: 1 }
tbody th.over { max-width: none; background: var(--box) }
thead th { vertical-align: bottom }
th[colspan]:not(.over) { text-align: center; border-left: 1px solid var(--rule) }
.text td, .text th { text-align: left; white-space: normal; min-width: 6rem; max-width: 22rem }
.wrap thead th { white-space: normal; min-width: 6rem }
@media (min-width: 48rem) { .wrap tbody th { min-width: 14rem } }
.interval { display: block; font-size: .8125rem; color: var(--soft); font-weight: 400 }
.pictures th, .pictures td { padding: .25rem .3rem; text-align: center; vertical-align: middle; border-top: 0 }
.pictures thead th { white-space: normal; font-weight: 400; font-size: .8125rem; line-height: 1.3; min-width: 7rem;
  max-width: 9rem }
.pictures thead tr:first-child th:first-child, .pictures tbody th { text-align: left; padding-left: .6rem;
  min-width: 6.25rem; max-width: 8rem; overflow-wrap: anywhere }
img { display: block; height: auto; margin: 0 auto }
figure { margin: 1rem 0 }
figcaption { font-size: .875rem; max-width: 48rem; margin-bottom: .5rem }
.sheet img { max-width: 100%; margin: 0 }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); gap: 1rem 1.25rem }
.charts figure { margin: 0; min-width: 0 }
.charts figcaption { color: var(--ink); font-weight: 600; margin: 0 }
.chart { display: block; width: 100%; height: auto; font: 11px system-ui, sans-serif }
.chart text { fill: var(--soft) }
.chart .rule { stroke: var(--rule) }
.line { fill: none; stroke: currentColor; stroke-width: 1.6; stroke-linejoin: round }
.dashed { stroke-dasharray: 4 3; stroke-width: 2 }
.dot { fill: currentColor; fill-opacity: .75 }
.c0 { color: var(--c0) } .c1 { color: var(--c1) } .c2 { color: var(--c2) } .c3 { color: var(--c3) }
.c4 { color: var(--c4) } .c5 { color: var(--c5) } .c6 { color: var(--c6) } .c7 { color: var(--c7) }
.legend { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; font-size: .875rem }
.key { display: inline-block; width: 1.25rem; height: 0; margin-right: .4rem; vertical-align: middle;
  border-top: 4px solid currentColor }
.gaps { border-top-style: dashed; border-top-width: 2px; color: var(--soft) }
summary { cursor: pointer; padding: .4rem 0; font-weight: 600 }
@media print { .scroll { overflow: visible } nav { display: none } }
"""
