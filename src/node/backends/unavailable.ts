/** Why a device cannot run here, in a sentence, and what to type about it. */
export class Unavailable extends Error {
  readonly hint: string | undefined;
  constructor(message: string, hint?: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : {cause});
    this.hint = hint;
  }
}
