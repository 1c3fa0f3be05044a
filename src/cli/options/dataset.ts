import {type OptionsOf, optionGroup} from '../core/define-command.js';

/** How a data set of any format is read. */
export const withDataset = optionGroup((command) =>
  command
    .option('--images <folder>', 'where the pictures are that the data names')
    .option('--columns <list>', "columns of a TSV file, as OFA's selected_cols: 1,4,2")
    .option('--split <name>', 'the split of a Karpathy file'),
);
export type DatasetOptions = OptionsOf<typeof withDataset>;
