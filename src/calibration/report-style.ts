/** Style of a report, beside what all pages share. Charts are drawn for white paper: in the dark their inks are exchanged. */
export const REPORT_STYLE = `
section{margin:34px 0 0}section>h2{font-size:22px;margin:0 0 12px;letter-spacing:-.01em}section h3{font-size:17px;margin:26px 0 6px}
h4{margin:18px 0 6px;font-size:13px}
figure{margin:0 0 14px;padding:6px;background:var(--card);border:1px solid var(--line);border-radius:12px;overflow-x:auto}
figure svg{display:block;margin:0 auto}
.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:12px;padding:6px 14px;margin:8px 0 14px}
th{font-weight:500;color:var(--muted);text-align:left;font-size:12.5px;white-space:nowrap}th,td{padding:5px 14px 5px 0;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child td{border-bottom:0}td{font-size:13px}td:first-child{white-space:nowrap}td:last-child:not(.n){min-width:210px}td:last-child,th:last-child{padding-right:0}.n{text-align:right;white-space:nowrap}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(520px,100%),1fr));gap:14px;align-items:start}.grid>*{min-width:0}
details{margin:0 0 12px}summary{cursor:pointer;font-weight:500;margin:0 0 10px}
article{margin:0 0 18px}
@media (prefers-color-scheme:dark){
svg>rect[fill="#ffffff"]{fill:var(--card)}
svg text:not([pointer-events])[fill="#222222"]{fill:var(--ink)}svg [fill="#5c5c5c"]{fill:var(--muted)}
svg [stroke="#5c5c5c"]{stroke:var(--muted)}svg [stroke="#e4e4e4"]{stroke:var(--line)}svg rect[stroke="#ffffff"]{stroke:var(--card)}
svg [fill="#0072b2"]{fill:#4aa8e8}svg [stroke="#0072b2"]{stroke:#4aa8e8}svg [fill="#444444"]{fill:#b8c0c8}svg [stroke="#444444"]{stroke:#b8c0c8}
svg [fill="#882255"]{fill:#d4709f}svg [stroke="#882255"]{stroke:#d4709f}svg [fill="#d55e00"]{fill:#f07f2a}svg [stroke="#d55e00"]{stroke:#f07f2a}
svg [fill="#009e73"]{fill:#2cc39a}svg [stroke="#009e73"]{stroke:#2cc39a}svg [fill="#aa4499"]{fill:#d07fc4}svg [stroke="#aa4499"]{stroke:#d07fc4}
svg [fill="#b07d00"]{fill:#d9a832}svg [stroke="#b07d00"]{stroke:#d9a832}
}
`;
