/** The layouts of other libraries that a model can be written in. */
export const EXPORT_FORMATS = ['pt', 'safetensors', 'hf'] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];
