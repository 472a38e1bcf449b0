"""The HTTP API and the page: thin over `library`.

Rooms, from the ground: `options`, `schema` (the shapes of requests and answers, for OpenAPI), `views` (values to JSON), `hub`, `index`, `thumbnails`,
`turns`, `jobs` (with `jobstore`, `jobrun` and `jobschema`), `watch`, `poll` and `metrics` (what a server keeps and does between requests), `service` (all of these for one tree), then the routes, and
`app`, which puts them together; `serve` runs it behind `security`.

Rules of this package: nothing here decides what an image's status is, moves a byte or writes a manifest: that is asked of the library.
"""
