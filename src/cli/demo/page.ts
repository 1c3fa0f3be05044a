import {escapeHtml, htmlPage} from '../../charts/html-page.js';
import type {StackTrace} from '../../exit/trace.js';
import {type Answer, type Entailment, meanLayers} from '../../tasks/answer.js';
import {type DemoRow, type Pair, type Saved, savedBy} from './examples.js';
import {type RetrievalDemo, retrievalText} from './retrieval.js';
import {percent, signed} from './table.js';

/** Options of `demoPage`. */
export interface DemoPageOptions {
  readonly tokenizer: {decode(ids: readonly number[]): string};
  /** Multiply-accumulates of the ResNet. */
  readonly resnet: number;
  /** A line that says where the model ran. */
  readonly note: string;
  readonly retrieval: RetrievalDemo;
}

const giga = (macs: number): string => `${(macs / 1e9).toFixed(2)} G`;
/** From full depth to early exit; once, where nothing exits. */
const arrow = (full: string, early: string): string => (full === early ? full : `${full} → ${early}`);
const layers = (n: number): string => n.toFixed(1).replace(/\.0$/, '');

/** A self-contained page: no script, style, font or image from elsewhere. */
export function demoPage(rows: readonly DemoRow[], {tokenizer, resnet, note, retrieval}: DemoPageOptions): string {
  const captions = savedBy(rows.map(({caption}) => caption));
  const same = rows.filter(({caption}) => caption.full.text === caption.early.text).length;
  const right = (task: 'entailment' | 'answer', side: 'full' | 'early'): number =>
    rows.filter((row) => row[task][side].text === (task === 'entailment' ? row.label : row.expected)).length;
  const rights = (task: 'entailment' | 'answer'): string =>
    `${right(task, 'full')} of ${rows.length} right at full depth, ${right(task, 'early')} with early exit`;
  const share = resnet / captions.macs.full;
  const questions = rows.some(exits)
    ? rights('answer')
    : `${right('answer', 'full')} of ${rows.length} right; the model has no exit plan for them`;
  const body = `<header>
<h1>How deep did each word go?</h1>
<p>${rows.length} pictures, each captioned and questioned at full depth and with early exits: a layer that hardly changes the state any
more is the last one to run. Computed in JavaScript on this machine: ${escapeHtml(note)}.</p>
</header>
<section class="summary">
${tile('Captions', `${same} of ${rows.length} the same words`, captions)}
${tile('Entailment', rights('entailment'), savedBy(rows.map(({entailment}) => entailment)))}
${tile('Questions', questions, savedBy(rows.map(({answer}) => answer)))}
</section>
<p class="remark">Layers are not time. The ResNet that turns the picture into patches is ${giga(resnet)} of the ${giga(captions.macs.full)} multiply-accumulates
of a caption (${percent(share)}) and never exits, so exits can save at most ${percent(1 - share)} of the arithmetic of this model. Milliseconds are
single runs and vary with the machine.</p>
${legend()}
<main>
${rows.map((row) => card(row, tokenizer)).join('\n')}
</main>
${retrievalSection(retrieval)}
<footer>Pictures contain Twemoji graphics (CC-BY 4.0) and Noto Emoji graphics (Apache 2.0), modified. Made by <code>mue demo</code>.</footer>`;
  return htmlPage({title: 'mue-tfjs: how deep did each word go?', style: DEMO_STYLE, body});
}

/** Whether early exit was tried at all on the question. */
const exits = ({answer}: DemoRow): boolean => answer.early !== answer.full;

function tile(title: string, result: string, {layers: saved, macs, ms}: Saved): string {
  const row = (name: string, share: number, detail: string): string =>
    `<tr><th>${name}</th><td class="share">${signed(share)}</td><td>${detail}</td></tr>`;
  return `<div class="tile"><h2>${title}</h2><p>${escapeHtml(result)}</p><table>
${row('layers', saved, 'encoder and decoder')}
${row('MACs', macs.saved, arrow(giga(macs.full), giga(macs.early)))}
${row('time', ms.saved, `${arrow(ms.full.toFixed(0), ms.early.toFixed(0))} ms`)}
</table></div>`;
}

/** Captions, and the image that each of them finds. */
function retrievalSection(retrieval: RetrievalDemo): string {
  const rows = retrieval.queries.map(({text, file, full, early}) => {
    const other = full === early ? '' : ` <span class="muted">at full depth: ${escapeHtml(full)}</span>`;
    return `<dt>${escapeHtml(text)}</dt><dd>${chip(early, file)}${other}</dd>`;
  });
  return `<article style="display:block"><div class="answers"><h3>Which picture does a caption find?</h3>
<p class="muted">${escapeHtml(retrievalText(retrieval))}</p>
<dl>${rows.join('\n')}</dl></div></article>`;
}

function legend(): string {
  const cell = (kind: string, style = ''): string => `<i class="cell ${kind}"${style}></i>`;
  return `<section class="legend"><span>${cell('run', ' style="--s:.1"')}${cell('run', ' style="--s:.55"')}${cell('run', ' style="--s:1"')}
layer ran; the stronger the colour, the more similar its output to its input</span>
<span>${cell('run exit', ' style="--s:1"')} similarity above the threshold: exit</span>
<span>${cell('skipped')} layer skipped; layer 1 is at the bottom</span><span>Hover over a cell for its numbers.</span></section>`;
}

function card(row: DemoRow, tokenizer: DemoPageOptions['tokenizer']): string {
  const {full, early} = row.caption;
  const same = full.text === early.text;
  const image = `data:image/${row.file.endsWith('.png') ? 'png' : 'jpeg'};base64,${Buffer.from(row.bytes).toString('base64')}`;
  return `<article>
<div class="picture"><img src="${image}" alt="${escapeHtml(row.reference)}" width="256" height="256">
<p class="file">${escapeHtml(row.file)}</p>
${stacks(early)}</div>
<div class="answers">
<h3>${escapeHtml(early.text)}</h3>
<p class="muted">${same ? 'the same words at full depth' : `at full depth: <b>${escapeHtml(full.text)}</b>`}</p>
${words(early, tokenizer)}
<p class="numbers">${numbers(row.caption)}</p>
<dl>
<dt>Does the picture show “${escapeHtml(row.hypothesis)}”?</dt>
<dd>${chip(row.entailment.early.text, row.label)} ${other(row.entailment)}${probabilities(row.entailment.early)}<p class="numbers">${numbers(row.entailment)}</p></dd>
<dt>${escapeHtml(row.question)}</dt>
<dd>${chip(row.answer.early.text, row.expected)} ${other(row.answer)}<p class="numbers">${numbers(row.answer)}</p></dd>
</dl>
</div>
</article>`;
}

function chip(text: string, expected: string): string {
  const right = text === expected;
  const title = right ? 'as expected' : `expected: ${expected}`;
  return `<span class="chip ${right ? 'right' : 'wrong'}" title="${escapeHtml(title)}">${right ? '✓' : '✗'} ${escapeHtml(text)}</span>`;
}

function other({full, early}: Pair<Answer>): string {
  return full.text === early.text ? '' : `<span class="muted">at full depth: ${escapeHtml(full.text)}</span>`;
}

function probabilities({scores}: Entailment): string {
  const bars = (['yes', 'no', 'maybe'] as const).map((word) => {
    const p = Math.exp(scores[word]);
    return `<span class="p" data-tip="${word}: ${(p * 100).toFixed(2)} %"><i style="width:${(p * 100).toFixed(1)}%"></i><b>${word}</b></span>`;
  });
  return `<span class="bars">${bars.join('')}</span>`;
}

function numbers({full, early}: Pair<Answer>): string {
  const run = Object.entries(early.layers).map(
    ([stack, run]) => `${stack.replace(/^encoder\./, '')} ${layers(meanLayers(run))}/${run.of}`,
  );
  const parts = [
    `layers: ${run.join(', ')}`,
    `MACs ${arrow(giga(full.macs.run), giga(early.macs.run))}`,
    `${arrow(full.ms.total.toFixed(0), early.ms.total.toFixed(0))} ms`,
  ];
  return parts.map((part, i) => `<span>${escapeHtml(part)}${i < parts.length - 1 ? ' ·' : ''}</span>`).join(' ');
}

/** The streams of the encoder, a row of cells each. */
function stacks({trace}: Answer): string {
  const encoders = trace.filter(({step}) => step === undefined);
  return `<div class="stacks">${encoders
    .map(
      (t) =>
        `<div><span>${escapeHtml(t.stack.replace(/^encoder\./, ''))}</span><span class="cells">${cells(t).join('')}</span><span>${t.exitLayer}/${t.depth}</span></div>`,
    )
    .join('')}</div>`;
}

/** A column of cells for every word, first layer at the bottom. */
function words(answer: Answer, tokenizer: DemoPageOptions['tokenizer']): string {
  const steps = answer.trace.filter(({step}) => step !== undefined);
  // Decoding of single tokens would lose what pieces share: the text grows piece by piece instead.
  const texts = answer.tokens.map((_, i) => tokenizer.decode(answer.tokens.slice(0, i + 1)));
  const columns = steps.map((trace, i) => {
    const label = i < texts.length ? texts[i]!.slice(texts[i - 1]?.length ?? 0) : i === texts.length ? 'end' : '…';
    const kind = i < texts.length ? (label.startsWith(' ') ? '' : ' joined') : ' muted';
    return `<div class="word${kind}"><span class="column">${cells(trace).reverse().join('')}</span><span class="label">${escapeHtml(label.trim())}</span></div>`;
  });
  return `<div class="words">${columns.join('')}</div>`;
}

function cells({scores, thresholds, exitLayer, depth, exited, stack, step}: StackTrace): string[] {
  const where = `${stack.replace(/^encoder\./, '')}${step === undefined ? '' : `, step ${step + 1}`}`;
  return Array.from({length: depth}, (_, layer) => {
    const name = `${where}, layer ${layer + 1} of ${depth}`;
    if (layer >= exitLayer) return `<i class="cell skipped" data-tip="${escapeHtml(name)}: skipped"></i>`;
    const score = scores[layer] ?? null;
    const limit = thresholds[layer] ?? null;
    const exit = exited && layer === exitLayer - 1;
    const measured =
      score === null
        ? 'not measured'
        : `similarity ${score.toFixed(4)}${limit === null ? '' : `, threshold ${limit.toFixed(4)}`}`;
    return `<i class="cell run${exit ? ' exit' : ''}" style="--s:${shade(score)}" data-tip="${escapeHtml(`${name}: ${measured}${exit ? ': exit' : ''}`)}"></i>`;
  });
}

/** 0 … 1: similarities crowd near 1, so the scale is that of the angle. */
function shade(score: number | null): string {
  return score === null ? '.5' : (1 - Math.acos(Math.max(0, Math.min(1, score))) / (Math.PI / 2)).toFixed(2);
}

/** Style of the demo page, beside that of all pages. */
const DEMO_STYLE = `
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
