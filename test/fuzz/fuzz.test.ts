import {campaign} from './campaign.js';
import {checkpoints} from './checkpoints.js';
import {dataSets} from './data-sets.js';
import {pictures} from './pictures.js';
import {plans} from './plans.js';

// A short run of what `npm run fuzz -- 10000` does at length: files changed at random are read, or refused by an error
// with a code, within limits of time and memory. A case is made again by its number: `npm run fuzz -- 4 NUMBER`.

test.each([pictures, checkpoints, plans, dataSets])(
  'fuzz: $name changed at random are read or refused, within the limits',
  async (target) => {
    const {raw, over} = await campaign(target);
    expect({raw, over}).toEqual({raw: [], over: []});
  },
  3_600_000,
);
