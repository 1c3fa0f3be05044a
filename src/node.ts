export {DEVICES} from './node/backends/devices.js';
export {selectBackend} from './node/backends/select.js';
export {type OpenDatasetOptions, openDataset} from './node/dataset/open.js';
export {decodeImage} from './node/picture/decode.js';
export {readExitAdapters, writeExitAdapters} from './node/model/exit-adapters.js';
export {type LoadOptions, loadModel, SHIPPED_MODEL} from './node/model/load-model.js';
export {weightsHash} from './node/model/manifest.js';
export {SHIPPED_MODELS, type ShippedModel} from './node/model/shipped-models.js';
