"""The API that SDKs and tools of Inngest expect from a server.

=================  ===================================================================================
`envelope`         who is such a caller, and the shape of what it is answered
`table`            the routes: those of SDKs alone, and how they see routes that are ours, too
`sending`          `/e/{key}`: events as SDKs write them
`looking`          events, runs and functions
`steering`         cancel, signal, invoke
`registering`      `/fn/register`, `/fn/remove`, `/dev`: apps come and go
`state`            what a run remembers, for calls that are too large to carry it
`checkpoints`      steps that ended while a call is still going on
`arrivals`         requests that apps got from others, and made runs of; their outputs
`realtime`         what functions publish while they run, and the tokens for it
`listening`        who listens to that
`graph`, `query`   `/v0/gql`: the few questions in GraphQL that tools ask
`asking`           one small request to an app
`syncing`          a server for development asks apps to register, and finds them
=================  ===================================================================================

Handlers translate between the protocol's words and the engine's verbs; they decide nothing. Refuses to know how runs
of functions are driven (`driving`), and what the protocol's bytes are (`protocol`).
"""
