// `using` needs Symbol.dispose; Node 20.19 has it, the sandbox of a test runner or an older browser may not.
// Imported first, for its effect alone.
type WithDispose = {dispose?: symbol; asyncDispose?: symbol};
(Symbol as WithDispose).dispose ??= Symbol.for('Symbol.dispose');
(Symbol as WithDispose).asyncDispose ??= Symbol.for('Symbol.asyncDispose');
export {};
