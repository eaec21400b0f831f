"""The wire protocol of functions over HTTP: what both ends say, as values and bytes.

An app has functions; a server drives them, one step a request, in the protocol that Inngest's server and SDKs speak.
Both ends need the same nouns, and each has a module:

==================  =====================================================================
`steps`             a step's hash on the wire, and its id in our histories
`ops`, `terms`      what an app asks for or reports (`Op`), and the options of each kind
`calls`             one request of the server (`Call`) and what the app answers (`Answer`)
`memo`              a run's history as the memo and stack of a call
`errors`            an error on the wire (`UserError`), and our `Failure`
`events`            events as they are on the wire, and ours
`registration`      what an app says of itself and its functions, read: `flow_options` reads and writes their options
`arrivals`          what an app says of a request that it got from others, and makes a run of
`announcement`      what our own apps say; `own` what they say beyond the protocol
`introspection`     what an app says when it is asked
`realtime`          messages that functions publish, and the tokens that let a program listen to them
`signatures`        who has signed a request; `canonical`: the bytes that are signed
`native`            what both ends add where both are flowgen
`headers`           the names of headers
`reading`           objects that a stranger sent, and the errors of this package
==================  =====================================================================

Rules: everything here is a function of its arguments, the time included. Whatever bytes come in, what comes out is a
value or a `ProtocolError` that names the place. What is written is what the field's servers and SDKs read, also where
their documents say something else.

Refuses to know: HTTP libraries, engines, stores, and what becomes of what it has read.
"""
