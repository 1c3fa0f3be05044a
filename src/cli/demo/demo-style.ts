/** Style of the demo page, beside what all pages share. */
export const DEMO_STYLE = `
.summary{display:grid;grid-template-columns:repeat(auto-fit,minmax(300px,1fr));gap:14px;margin:24px 0 14px}
.tile,article{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:16px 18px}
.tile p{margin:0 0 8px;color:var(--muted);font-size:13px}
th{width:60px;text-align:left;font-weight:500;color:var(--muted)}td{padding:1px 0;font-size:13px;color:var(--muted)}
td.share{width:84px;font-size:20px;font-weight:650;color:var(--ink)}
main{display:grid;gap:14px}
article{display:grid;grid-template-columns:256px minmax(0,1fr);gap:22px}
img{display:block;width:100%;max-width:256px;height:auto;border-radius:8px;border:1px solid var(--line)}
.file{margin:4px 0 8px;color:var(--muted);font-size:12px}
.cell{display:inline-block;width:22px;height:11px;border-radius:3px;flex:none}
.cell.run{background:color-mix(in srgb,var(--run) calc(18% + 82%*var(--s)),var(--card))}
.cell.exit{background:var(--exit)}
.cell.skipped{background:repeating-linear-gradient(135deg,var(--skip) 0 3px,transparent 3px 6px);border:1px solid var(--line)}
.stacks div{display:grid;grid-template-columns:52px 1fr 34px;align-items:center;font-size:12px;color:var(--muted)}
.cells{display:inline-flex;gap:3px}.stacks span:last-child{text-align:right}
.words{display:flex;flex-wrap:wrap;gap:10px 5px;margin:14px 0 8px}
.word{display:flex;flex-direction:column;align-items:center;min-width:30px}
.word.joined{margin-left:-5px}.word.joined .label::before{content:"·";color:var(--muted)}
.column{display:flex;flex-direction:column;gap:2px}.word .cell{width:26px;height:10px}
.label{margin-top:4px;font-size:13px;white-space:nowrap}.word.muted{opacity:.55}.word.muted .label{font-style:italic}
.numbers{margin:6px 0 0;line-height:1.4;color:var(--muted);font-size:12.5px;font-variant-numeric:tabular-nums}
dl{margin:12px 0 0;display:grid;gap:10px}dt{grid-column:1;font-weight:500}dd{margin:3px 0 0}
dl{grid-template-columns:repeat(auto-fit,minmax(270px,1fr))}dl dt{grid-row:1}dl dd{grid-row:2}dl dt:nth-of-type(1),dl dd:nth-of-type(1){grid-column:1}dl dt:nth-of-type(2),dl dd:nth-of-type(2){grid-column:2}
.chip{display:inline-block;padding:1px 10px;border-radius:99px;font-weight:600;font-size:14px}
.right{background:var(--goodbg);color:var(--good)}.wrong{background:var(--badbg);color:var(--bad)}
.bars{display:inline-flex;gap:6px;margin-left:8px;vertical-align:middle}
.p{position:relative;display:inline-block;width:56px;height:18px;border-radius:4px;background:var(--skip);overflow:hidden}
.p i{position:absolute;inset:0 auto 0 0;background:color-mix(in srgb,var(--run) 40%,transparent)}.p b{position:relative;display:block;text-align:center;font-size:11px;line-height:18px;font-weight:500}
.numbers span{white-space:nowrap}
@media (max-width:760px){article{grid-template-columns:1fr}dl{grid-template-columns:1fr}dl dt,dl dd{grid-row:auto!important;grid-column:1!important}}
@media print{body{background:#fff}article{break-inside:avoid}}
`;
