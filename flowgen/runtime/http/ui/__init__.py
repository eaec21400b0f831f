"""Pages for people: what runs, what it did and waits for, and buttons for what one may do about it.

Rendered on the server, so a page can be read before its script has come; the one script (`static/flowgen.js`) keeps
it fresh, and carries what its buttons ask for to the routes that programs use, too.

==============  ==========================================================================
`table`         the routes of the pages
`views`         the handlers: they read what a page needs in one crossing, and render it
`login`         in and out, with a cookie that no script can read
`assets`        the script, the stylesheet and the icon, by name
`render`        templates, and how errors look to people
`pages`         view models of lists; `run_detail` those of the page of one run
`waterfall`     a history as a picture; `timescale` places it, `asked` knows when its steps began
`chart`         counts over time as bars
`hints`         what an event of a class looks like, to begin with
`text`          durations, JSON, and text in which nothing hides
==============  ==========================================================================

Rules: whatever comes from outside is escaped by the templates, and shown with its invisible characters written
out; there is no inline script and no inline style, so that no page needs an exception from the policy in
`guard`. A page makes a bounded number of reads, all of them by index.
"""
