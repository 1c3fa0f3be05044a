/** Style of the demo page, light and dark. */
export const DEMO_STYLE = `
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#1b2430;--muted:#5d6b7c;--line:#dfe4ea;--run:#1f6feb;--exit:#e8590c;--good:#18794e;--goodbg:#e3f5ea;--bad:#b42318;--badbg:#fdeae7;--skip:#eef1f4}
@media (prefers-color-scheme:dark){:root{--bg:#0f141a;--card:#171d25;--ink:#e4e9ef;--muted:#94a1b1;--line:#2a333e;--run:#58a6ff;--exit:#ff922b;--good:#6bd89c;--goodbg:#12301f;--bad:#ff8f82;--badbg:#3a1714;--skip:#1f2731}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1180px;padding:32px 20px;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
h1{margin:0 0 6px;font-size:30px;letter-spacing:-.02em}h2{margin:0;font-size:15px}h3{margin:0;font-size:20px;letter-spacing:-.01em}
header p{max-width:78ch;margin:0;color:var(--muted)}
.summary{display:grid;grid-template-columns:repeat(auto-fit,minmax(300px,1fr));gap:14px;margin:24px 0 14px}
.tile,article{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:16px 18px}
.tile p{margin:0 0 8px;color:var(--muted);font-size:13px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{width:60px;text-align:left;font-weight:500;color:var(--muted)}td{padding:1px 0;font-size:13px;color:var(--muted)}
td.share{width:84px;font-size:20px;font-weight:650;color:var(--ink)}
.remark{margin:0 0 14px;padding:10px 14px;border-left:3px solid var(--exit);background:var(--card);border-radius:0 8px 8px 0;font-size:14px}
.legend{display:flex;flex-wrap:wrap;gap:6px 22px;align-items:center;margin:18px 2px;color:var(--muted);font-size:13px}
.legend span{display:inline-flex;align-items:center;gap:5px}
main{display:grid;gap:14px}
article{display:grid;grid-template-columns:256px minmax(0,1fr);gap:22px}
img{display:block;width:100%;max-width:256px;height:auto;border-radius:8px;border:1px solid var(--line)}
.file{margin:4px 0 8px;color:var(--muted);font-size:12px}
.muted{color:var(--muted);margin:0;font-size:14px}.muted b{color:var(--ink);font-weight:500}
.cell{display:inline-block;width:22px;height:11px;border-radius:3px;flex:none}
.cell.run{background:color-mix(in srgb,var(--run) calc(18% + 82%*var(--s)),var(--card))}
.cell.exit{background:var(--exit)}
.cell.skipped{background:repeating-linear-gradient(135deg,var(--skip) 0 3px,transparent 3px 6px);border:1px solid var(--line)}
[data-tip]:hover{outline:2px solid var(--ink);outline-offset:1px}
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
#tip{position:fixed;z-index:2;pointer-events:none;padding:4px 9px;border-radius:6px;background:var(--ink);color:var(--bg);font-size:12.5px;font-variant-numeric:tabular-nums;white-space:nowrap}
footer{margin:22px 2px 0;color:var(--muted);font-size:12.5px}
@media (max-width:760px){article{grid-template-columns:1fr}dl{grid-template-columns:1fr}dl dt,dl dd{grid-row:auto!important;grid-column:1!important}}
@media print{body{background:#fff}article{break-inside:avoid}}
`;

/** Shows the numbers of the cell under the pointer at once; the page is whole without it. */
export const DEMO_SCRIPT = `
const tip=document.getElementById('tip');
addEventListener('mousemove',(e)=>{const at=e.target.closest?.('[data-tip]');tip.hidden=!at;if(!at)return;tip.textContent=at.dataset.tip;
const w=tip.offsetWidth;tip.style.left=Math.max(4,Math.min(e.clientX+12,innerWidth-w-8))+'px';tip.style.top=(e.clientY+16>innerHeight-40?e.clientY-34:e.clientY+16)+'px'});
`;
