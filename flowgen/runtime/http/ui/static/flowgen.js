// Keeps the page fresh, and carries what its buttons ask for to the routes that programs use, too.
//
// The server renders everything: when something has changed, this reads the page once more and takes over what differs
// (`morph`), so there is one way in which a run looks. Nothing that comes from outside is ever read as HTML but through
// that page, whose templates escape it; and the policy of the page lets no script in but this one.

const root = document.documentElement.dataset.root
const main = document.getElementById('main')
document.documentElement.classList.add('has-script')

// -- the page as it is now ------------------------------------------------------------------------

// Make `old` like `fresh`, but keep what people did to it: what is open, selected, focused and typed.
function morph(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
    old.replaceWith(document.importNode(fresh, true))
    return
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data
    return
  }
  if (old.isEqualNode(fresh)) return
  if (old.nodeName === 'TEXTAREA' || old.matches('.form-error, .sure')) return
  for (const { name, value } of fresh.attributes) {
    if (old.nodeName === 'DETAILS' && name === 'open') continue
    if (old.getAttribute(name) !== value) {
      if (name === 'data-status') flash(old)
      old.setAttribute(name, value)
    }
  }
  for (const { name } of [...old.attributes]) {
    if (fresh.hasAttribute(name) || (old.nodeName === 'DETAILS' && name === 'open')) continue
    old.removeAttribute(name)
  }
  morphChildren(old, fresh)
}

function morphChildren(old, fresh) {
  const keyed = new Map()
  for (const child of old.children) {
    if (child.dataset?.key !== undefined) keyed.set(child.dataset.key, child)
  }
  const wanted = new Set([...fresh.children].map((child) => child.dataset?.key))
  let place = old.firstChild
  for (const child of [...fresh.childNodes]) {
    const key = child.dataset?.key
    let match = key === undefined ? place : keyed.get(key)
    while (key === undefined && match && match.dataset?.key !== undefined && !wanted.has(match.dataset.key)) {
      match = drop(match)
      place = match
    }
    if (key === undefined && match?.dataset?.key !== undefined) match = null
    if (!match) {
      const added = document.importNode(child, true)
      old.insertBefore(added, place)
      if (added.nodeName === 'TR') flash(added)
      continue
    }
    if (match !== place) old.insertBefore(match, place)
    else place = place.nextSibling
    morph(match, child)
  }
  while (place) place = drop(place)
}

function drop(node) {
  const next = node.nextSibling
  node.remove()
  return next
}

function flash(row) {
  if (row.nodeName !== 'TR') return
  row.classList.add('fresh')
  row.addEventListener('animationend', () => row.classList.remove('fresh'), { once: true })
}

let reading = false
let again = false
let timer = 0
let credit = 1000
let counted = performance.now()

// Read the page once more; while it is read, one more reading is owed at most.
async function refresh() {
  if (reading) again = true
  if (reading || document.hidden) return
  reading = true
  again = false
  const begun = performance.now()
  try {
    const answer = await fetch(location.href, { headers: { accept: 'text/html' } })
    if (answer.ok) {
      const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html')
      for (const part of document.querySelectorAll('[data-live]')) {
        const same = fresh.getElementById(part.id)
        if (same && !part.open) morph(part, same)
      }
      document.title = fresh.title
      tell()
    } else if (answer.status === 401) location.reload()
  } catch {
    // The server is away; the stream says so, and comes back.
  }
  credit = Math.max(-1000, credit - (performance.now() - begun)) // the machine may have slept meanwhile
  reading = false
  if (again) soon()
}

// How long to wait, in milliseconds. However much happens, a page is read for a tenth of the time at most; but what was
// not used is saved, up to a second of reading, so that a run which takes a moment is seen as it ends.
function rest() {
  const now = performance.now()
  credit = Math.min(1000, credit + (now - counted) / 10)
  counted = now
  return credit > 0 ? 20 : -10 * credit
}

function soon() {
  timer ||= setTimeout(() => {
    timer = 0
    refresh()
  }, rest())
}

function changed() {
  if (reading) again = true
  else if (credit > 0 && !timer) refresh()
  else soon()
}

// -- what happens meanwhile -----------------------------------------------------------------------

const kinds = new Set([...document.querySelectorAll('[data-live]')].map((part) => part.dataset.live))
const run = document.querySelector('[data-run]')?.dataset.run
const light = document.getElementById('live')

function concerns(data) {
  if (run === undefined) return true
  try {
    const changed = JSON.parse(data)
    return changed.id === run || changed.parent_id === run
  } catch {
    return true
  }
}

let stream

// Only a page that is looked at listens: a browser has few connections to one server for all its tabs.
function listen() {
  if (!kinds.size || stream || document.hidden) return
  const opened = (stream = new EventSource(`${root}/v1/stream`))
  for (const kind of ['run', 'event']) {
    opened.addEventListener(kind, (message) => {
      if (kinds.has(kind) && concerns(message.data)) changed()
    })
  }
  opened.addEventListener('reset', changed)
  opened.addEventListener('open', () => {
    show(true)
    changed() // what happened since the page was read, nobody tells any more
  })
  opened.addEventListener('error', () => {
    show(false)
    if (opened.readyState === EventSource.CLOSED && stream === opened) {
      stream = undefined
      setTimeout(listen, 2000)
    }
  })
}

function leave() {
  stream?.close()
  stream = undefined
}

addEventListener('pagehide', leave)
addEventListener('pageshow', listen)
document.addEventListener('visibilitychange', () => (document.hidden ? leave() : listen()))

function show(on) {
  light.hidden = false
  light.classList.toggle('off', !on)
  document.getElementById('live-text').textContent = on ? 'live' : 'reconnecting'
}

// An open run looks different as time goes by, though nothing happens.
function tick() {
  const often = Number(document.querySelector('[data-refresh]')?.dataset.refresh ?? 0)
  setTimeout(() => {
    if (often) refresh()
    tick()
  }, often || 5000)
}

// -- times ----------------------------------------------------------------------------------------

const units = [[86400, 'd'], [3600, 'h'], [60, 'm'], [1, 's']]

function ago(at) {
  const seconds = Math.round((Date.now() - at) / 1000)
  const distance = Math.abs(seconds)
  if (distance < 1) return 'now'
  const [size, unit] = units.find(([each]) => distance >= each)
  const text = `${Math.floor(distance / size)}${unit}`
  return seconds < 0 ? `in ${text}` : `${text} ago`
}

function tell() {
  for (const time of document.querySelectorAll('time')) {
    time.dataset.plain ??= time.textContent
    const text = ago(Date.parse(time.dateTime))
    if (time.textContent !== text) time.textContent = text
  }
}

// -- buttons --------------------------------------------------------------------------------------

class Refused extends Error {}

function parsed(field) {
  try {
    return JSON.parse(field.value)
  } catch (error) {
    field.focus()
    throw new Refused(`${field.getAttribute('aria-label') ?? 'The data'} is not JSON: ${error.message}`)
  }
}

const shapes = {
  event(form) {
    const event = { name: form.elements.name.value, data: parsed(form.elements.data) }
    if (form.elements.id.value) event.id = form.elements.id.value
    return event
  },
  data: (form) => ({ data: parsed(form.elements.data) }),
  token: (form) => ({ token: form.elements.token.value }),
  rerun(form) {
    const body = {}
    const step = form.elements.from_step.value
    if (step) body.from_step = step
    const event = form.elements.event
    if (event && event.value !== event.dataset.was) {
      body.event = { name: form.elements.event_name.value, data: parsed(event) }
    }
    const results = [...form.querySelectorAll('[data-result]:not([hidden])')]
      .map((part) => [part.dataset.result, part.querySelector('textarea')])
      .filter(([, field]) => field.value !== field.dataset.was)
    if (step && results.length) body.results = Object.fromEntries(results.map(([id, field]) => [id, parsed(field)]))
    return body
  },
}

const after = {
  here: () => location.replace(location.href),
  run: (answer, form) => location.assign(`${root}/runs/${encodeURIComponent(answer.id)}${form.dataset.query}`),
  event: (answer) => location.assign(`${root}/events/${encodeURIComponent(answer.ids[0])}`),
}

async function post(form) {
  const place = form.querySelector('.form-error') ?? document.getElementById('action-error')
  const buttons = form.querySelectorAll('button')
  place?.setAttribute('hidden', '')
  try {
    const body = shapes[form.dataset.shape]?.(form) ?? {}
    for (const button of buttons) button.disabled = true
    const answer = await fetch(root + form.dataset.post, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    const told = await answer.json().catch(() => ({}))
    if (!answer.ok) throw new Refused(told.error?.message ?? `The server answered ${answer.status}.`)
    const then = form.dataset.then
    if (then?.startsWith('/')) location.assign(root + then)
    else if (then) after[then](told, form)
    else refresh()
  } catch (error) {
    if (!place) throw error
    place.textContent = error instanceof Refused ? error.message : 'The server cannot be reached.'
    place.removeAttribute('hidden')
  } finally {
    for (const button of buttons) button.disabled = false
  }
}

addEventListener('submit', (submitted) => {
  const form = submitted.target
  if (form.dataset.post === undefined) return
  submitted.preventDefault()
  if (form.dataset.sure && !form.classList.contains('sure')) {
    const button = form.querySelector('button')
    form.classList.add('sure')
    button.dataset.was = button.textContent
    button.textContent = form.dataset.sure
    setTimeout(() => {
      form.classList.remove('sure')
      button.textContent = button.dataset.was
    }, 4000)
    return
  }
  post(form)
})

function open(id) {
  const dialog = document.getElementById(id)
  if (!dialog || dialog.open) return
  dialog.showModal()
  dialog.querySelector('textarea, select, input:not([type=hidden])')?.focus()
}

addEventListener('click', (click) => {
  const opener = click.target.closest?.('[data-open]')
  if (opener) {
    const select = document.querySelector('#rerun select')
    if (select && opener.dataset.open === 'rerun') {
      select.value = opener.dataset.step ?? ''
      offerResults(select)
    }
    open(opener.dataset.open)
  }
  if (click.target.closest?.('[data-close]') || click.target.nodeName === 'DIALOG') click.target.closest('dialog').close()
})

// -- forms ----------------------------------------------------------------------------------------

function hint(name) {
  let found
  for (const each of document.querySelectorAll('#send [data-event]')) {
    each.hidden = each.dataset.event !== name
    if (!each.hidden) found = each
  }
  return found?.dataset.example
}

// A form to begin with for the event of this name: what its class says, or else the one that was sent last.
async function begin(name) {
  const field = document.querySelector('#send [data-json]')
  if (field.dataset.touched) return
  const example = hint(name)
  if (example) {
    field.value = example
    return
  }
  const answer = await fetch(`${root}/v1/events?limit=1&name=${encodeURIComponent(name)}`)
  const found = answer.ok ? (await answer.json()).items[0] : undefined
  if (found && !field.dataset.touched) field.value = JSON.stringify(found.data, null, 2)
}

addEventListener('input', (typed) => {
  if (typed.target.matches('[data-json]')) typed.target.dataset.touched = 'yes'
})

addEventListener('change', (change) => {
  const field = change.target
  if (field.closest('[data-filters]')) field.form.requestSubmit()
  if (field.closest('#send') && field.name === 'name') begin(field.value)
  if (field.name === 'from_step') offerResults(field)
})

// Only what was there before the chosen step can be edited.
function offerResults(select) {
  const first = Number(select.selectedOptions[0].dataset.first ?? 0)
  const parts = [...select.form.querySelectorAll('[data-result]')]
  for (const part of parts) part.hidden = Number(part.dataset.outcome) >= first
  select.form.querySelector('.results').hidden = parts.every((part) => part.hidden)
}

// Empty filters do not belong into the address.
addEventListener('submit', (submitted) => {
  if (submitted.target.dataset.filters === undefined) return
  for (const field of submitted.target.elements) field.disabled = field.name !== '' && field.value === ''
})
addEventListener('pageshow', () => {
  for (const field of document.querySelectorAll('[data-filters] [name]')) field.disabled = false
})

// -- keys -----------------------------------------------------------------------------------------

let leader = 0

function step(by) {
  const items = [...document.querySelectorAll('[data-item], summary.wf-row')]
  if (!items.length) return
  const now = items.indexOf(document.activeElement)
  items[now < 0 ? (by > 0 ? 0 : items.length - 1) : Math.min(items.length - 1, Math.max(0, now + by))].focus()
}

const keys = {
  j: () => step(1),
  k: () => step(-1),
  s: () => open('send'),
  '?': () => open('help'),
  u: () => document.querySelector('[data-up]')?.click(),
  '/': () => document.querySelector('[data-search], [data-filters] select')?.focus(),
  g: () => (leader = performance.now()),
}

addEventListener('keydown', (pressed) => {
  if (pressed.ctrlKey || pressed.metaKey || pressed.altKey || pressed.isComposing) return
  if (pressed.target.matches('input, textarea, select') || document.querySelector('dialog[open]')) {
    if (pressed.key === 'Escape' && pressed.target.matches('[data-search]')) pressed.target.blur()
    return
  }
  const goes = performance.now() - leader < 1500 && document.querySelector(`[data-go="${CSS.escape(pressed.key)}"]`)
  leader = 0
  const key = goes ? () => goes.click() : keys[pressed.key]
  if (!key) return
  pressed.preventDefault()
  key()
})

// -- begin ----------------------------------------------------------------------------------------

tell()
setInterval(tell, 1000)
if (document.documentElement.dataset.login === undefined) {
  if (kinds.size) listen()
  tick()
} else {
  // Somebody who came from elsewhere sends no cookie with the first request, but does with this one.
  fetch(location.href).then((answer) => answer.ok && !location.pathname.endsWith('/login') && location.replace(location.href))
}
main?.querySelector('[autofocus]')?.focus()
