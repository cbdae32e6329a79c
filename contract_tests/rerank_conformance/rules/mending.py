"""The usual fix for each rule, for the maintainers of a server."""

from typing import NamedTuple

from rerank_conformance import derived


class Hint(NamedTuple):
    """A fix for the failure of some rules."""

    text: str
    rules: tuple[str, ...]


HINTS: tuple[Hint, ...] = (
    # acceptance
    Hint(
        "Compare your request model with the schema RerankRequest: only model, query and documents are required.",
        ("acceptance.plain", "schema.positive-data"),
    ),
    Hint(
        "Accept any integer from 1 and use min(top_n, number of documents) internally.",
        ("acceptance.top-n", "answer.top-n-above-count"),
    ),
    Hint(
        "Parse top_n into an integer without a fixed width, and use min(top_n, number of documents) internally.",
        ("acceptance.top-n-huge",),
    ),
    Hint(
        "Convert a number without a fraction to an integer before you check its type.",
        ("acceptance.top-n-integral",),
    ),
    Hint(
        "Declare each item of documents as a string or an object, and read the text of an object from its key text.",
        ("acceptance.objects", "acceptance.mixed"),
    ),
    Hint(
        "Accept an object with image in place of, or beside, text. If the model reads only texts, answer 400 in the envelope.",
        ("acceptance.images",),
    ),
    Hint(
        "Remove checks such as `if not text` and minimum lengths. A blank document is ranked, usually last.",
        ("acceptance.blank-documents",),
    ),
    Hint(
        "Keep texts as Unicode from the parser to the tokenizer. Look for C strings that end at NUL and for ASCII or UTF-16 conversions.",
        ("acceptance.unicode", "answer.echo-unicode"),
    ),
    Hint(
        "Truncate a text that is longer than the context in the tokenizer instead of refusing it, and raise limits on the size of a body.",
        ("acceptance.long-document",),
    ),
    Hint(
        "Split long lists into batches inside the server, and remove limits on the number of documents.",
        ("acceptance.many-documents", "answer.many-documents"),
    ),
    Hint(
        'Ignore unknown fields: `extra="ignore"` in pydantic, no DisallowUnknownFields in Go, no deny_unknown_fields in serde.',
        ("acceptance.unknown-fields", "acceptance.other-dialects"),
    ),
    Hint(
        "Declare provider as nullable, and treat null as a missing field.",
        ("acceptance.provider-null",),
    ),
    Hint(
        "Declare the fields of ProviderPreferences with the types of the contract, nullable where it says so, and ignore what you do not use.",
        ("acceptance.provider",),
    ),
    Hint(
        "Accept session_id, user and trace, even if the server ignores them.",
        ("acceptance.observability",),
    ),
    Hint(
        "Accept the headers HTTP-Referer and X-OpenRouter-Title; look for a proxy or a CORS check that refuses them.",
        ("acceptance.attribution",),
    ),
    Hint(
        "Compare the media type in lower case and without its parameters: cut the header at the first semicolon.",
        ("acceptance.charset",),
    ),
    Hint(
        "Parse the body with a standard JSON parser, never with regular expressions or by the order of names.",
        ("acceptance.escapes",),
    ),
    Hint(
        "Pass texts on unchanged. Remove code that guesses a type from a string or looks for JSON, markup or URLs in it.",
        ("acceptance.look-alikes",),
    ),
    Hint(
        "Remove checks such as `if not query` and minimum lengths of the query.",
        ("acceptance.blank-query",),
    ),
    Hint(
        "Encode texts with special tokens turned off (for example `split_special_tokens=True`), and do not refuse texts that contain them.",
        ("acceptance.special-tokens",),
    ),
    Hint(
        "Pass the query on unchanged. Remove code that strips and then checks it, or that reads characters as operators.",
        ("acceptance.query-ends",),
    ),
    Hint(
        "Count the characters of the decoded string, not the bytes of its encoding: utf8.RuneCountInString in Go, chars().count() in Rust.",
        ("acceptance.limits-in-characters",),
    ),
    Hint(
        "Count code points, not UTF-16 units: `[...text].length` in JavaScript, codePointCount in Java.",
        ("acceptance.limits-in-code-points",),
    ),
    # answer
    Hint(
        "Send Content-Type: application/json with every ranking.",
        ("answer.content-type",),
    ),
    Hint(
        "Write the response with a JSON encoder, as one object in UTF-8, and send nothing before or after it.",
        ("answer.json",),
    ),
    Hint(
        "Turn off NaN in the JSON encoder (`allow_nan=False`), write each name once, and never split a surrogate pair.",
        ("answer.one-reading",),
    ),
    Hint(
        "Compare your response model with the schema RerankResponse; the message names the field.",
        ("answer.schema",),
    ),
    Hint(
        "Write index as a JSON integer. Convert numpy and tensor values with int() first.",
        ("answer.index-integer",),
    ),
    Hint(
        "Count index from 0 over the documents of the request, before any filter, batch or sort.",
        ("answer.index-in-range", "answer.index-points-at-echo"),
    ),
    Hint(
        "Number the documents once, before they are batched, and return each number once. A common cause: each batch counts from 0.",
        ("answer.index-unique",),
    ),
    Hint(
        "Write relevance_score as a finite JSON number. Find out where the model returns NaN; empty texts and half precision are usual causes.",
        ("answer.score-number",),
    ),
    Hint(
        "Sort by the number, descending, after all batches are merged; do not sort formatted or rounded scores.",
        ("answer.descending",),
    ),
    Hint(
        "Return every document. Remove thresholds on the score.",
        ("answer.not-empty", "answer.complete", "answer.top-n-filled"),
    ),
    Hint(
        "Cut the sorted results to top_n as the last step.",
        ("answer.at-most-top-n",),
    ),
    Hint(
        "Return one result for each document. Look for padding or text chunks that are counted as documents.",
        ("answer.at-most-documents",),
    ),
    Hint(
        "Keep a list with one item a list: squeeze() turns such a tensor into a number.",
        ("answer.one-document",),
    ),
    Hint(
        "Do not drop blank documents before or after the ranking; that also shifts every later index.",
        ("answer.blank-documents",),
    ),
    Hint(
        "Identify documents by their position. Do not use the text as a key, and do not remove duplicates.",
        ("answer.identical-documents",),
    ),
    Hint(
        'Return each document as an object in results[].document, such as {"text": "..."}, also if it was sent as a string.',
        ("answer.echo-present",),
    ),
    Hint(
        "Return the original text of the request, not the stripped, truncated or tokenized one.",
        ("answer.echo-text", "answer.echo-blanks", "answer.echo-long"),
    ),
    Hint(
        "Return the image of a document as it was sent, under the key image.",
        ("answer.echo-image",),
    ),
    Hint(
        "Omit keys that the document of the request does not have; do not add an empty or null text or image.",
        ("answer.echo-nothing-added",),
    ),
    Hint(
        "Add model to every ranking: the name of the model that ranked, as a string.",
        ("answer.model",),
    ),
    Hint(
        "Write the field as a string, or leave it out; null is not a string.",
        ("answer.id", "answer.provider"),
    ),
    Hint(
        "Write counts in usage as integers from 0 and cost as a number, and omit unknown values.",
        ("answer.usage",),
    ),
    Hint(
        "Count the usage in a variable of the request, not of the process.",
        ("answer.usage-of-request",),
    ),
    Hint(
        "Add a new random id to every ranking, such as a UUID.",
        ("answer.id-present", "answer.id-unique"),
    ),
    Hint(
        "Add usage to every ranking, with total_tokens or search_units.",
        ("answer.usage-present",),
    ),
    # relation
    Hint(
        "Score all documents, sort, and cut to top_n last; do not cut the list of documents before the model sees it.",
        ("relation.top-n-best", "relation.top-n-prefix", "relation.top-n-of-any"),
    ),
    Hint(
        "Put the model into evaluation mode (dropout off), fix the seeds, and look for caches with incomplete keys.",
        ("relation.repeatable",),
    ),
    Hint(
        "Convert both forms to the same text at the beginning. Do not rank the JSON or the repr of an object.",
        ("relation.string-or-object", "relation.document-forms"),
    ),
    Hint(
        "Pass only the query and the texts of the documents to the model; log the other fields, or ignore them.",
        ("relation.other-fields",),
    ),
    Hint(
        "Pass the text of a document to the model together with its image, or refuse a document that has both.",
        ("relation.text-beside-image",),
    ),
    Hint(
        "Pass texts with their length, not up to a NUL, and do not search the prompt for the end of a text.",
        ("relation.after-marks",),
    ),
    Hint(
        "Fill all placeholders of a prompt in one step, or join its parts; do not replace one after the other.",
        ("relation.placeholders",),
    ),
    Hint(
        "Give blank documents the lowest score without asking the model, as an empty input may be scored at random.",
        ("relation.blank-documents",),
    ),
    Hint(
        "Check that the query reaches the model, on the right side of the pair, and is part of the key of every cache.",
        ("relation.query-matters",),
    ),
    Hint(
        "Check that the texts reach the model, and are part of the key of every cache.",
        ("relation.document-matters",),
    ),
    Hint(
        "Sort pairs of index and score, not only the scores, and check how the results of batches are put back in order.",
        ("relation.own-score", "relation.one-score-in-long-lists", "relation.order-in-long-lists"),
    ),
    Hint(
        "Keep all state in the request. Look for shared buffers, for batches that mix requests, and for scores that depend on the position.",
        ("relation.one-score", "relation.order-of-documents"),
    ),
    Hint(
        "Build the key of a cache from the whole request, not from its first bytes, its length or a short hash.",
        ("relation.whole-request",),
    ),
    Hint(
        "Keep buffers and state local to a request, or guard the model with a lock; check how batches are split between requests.",
        ("relation.together",),
    ),
    Hint(
        "Keep buffers local to a request, or empty them in a finally block, so that a failed request leaves nothing in them.",
        ("relation.after-refusal",),
    ),
    Hint(
        "Return a relevance, not a distance or a loss: invert the sign, or use the logit of the relevant class.",
        ("relation.higher-is-better", "relation.higher-is-better-in-long-lists"),
    ),
    Hint(
        "Check the prompt template, the order of query and document, and that the model is a reranker and not an embedding model.",
        ("relation.relevant-first",),
    ),
    Hint(
        "Do not scale scores over the list (softmax, min-max, ranks); use the logit, or its sigmoid.",
        ("relation.document-added",),
    ),
    Hint(
        "Score each document by itself. Do not add the position to break ties, and do not lower the score of duplicates.",
        ("relation.identical-documents",),
    ),
    Hint(
        "Pass the attention mask with padded batches, and set the padding token and its side as the model needs them.",
        ("relation.padding",),
    ),
    Hint(
        "Assign the scores of texts and images by their positions, and do not mix up the tensors of different images.",
        ("relation.images",),
    ),
    Hint(
        "Raise the maximum length of the tokenizer to the context of the model: libraries often cut at 128 or 256 tokens.",
        ("relation.read-to-end", "relation.long-read-to-end"),
    ),
    Hint(
        "Pass each text to the tokenizer as a whole, with all its lines; do not read it line by line.",
        ("relation.every-line",),
    ),
    Hint(
        "Tokenize documents and queries without parsing special tokens (split_special_tokens, parse_special=false).",
        ("relation.after-special-tokens",),
    ),
    Hint(
        "Do not remove characters before the tokenizer. Document it if the model supports only Latin script.",
        ("relation.other-scripts",),
    ),
    Hint(
        "Strip the query before it is tokenized, or check how the tokenizer treats blanks at its ends.",
        ("relation.query-ends",),
    ),
    # refusal
    Hint(
        "Declare the field as required, without a default.",
        ("refusal.documents-missing", "refusal.query-missing", "refusal.model-missing"),
    ),
    Hint(
        "Declare a minimum of one document: `min_length=1` in pydantic, `.min(1)` in zod.",
        ("refusal.documents-empty",),
    ),
    Hint(
        "Require an array. Do not iterate over a string, and do not wrap a single value in a list.",
        ("refusal.documents-type",),
    ),
    Hint(
        "Validate each item of documents as a string or an object; do not convert numbers or null to text.",
        ("refusal.document-type",),
    ),
    Hint(
        "Require text or image in each object of documents.",
        ("refusal.document-empty-object",),
    ),
    Hint(
        "Require a JSON string, without conversion: `StrictStr` in pydantic, no `coerce` in zod and ajv.",
        (
            "refusal.document-text-type",
            "refusal.query-type",
            "refusal.model-type",
            "refusal.user-type",
        ),
    ),
    Hint(
        "Check top_n >= 1 before you use it. Test for a missing top_n by its absence, not by `if top_n`.",
        ("refusal.top-n-zero", "refusal.top-n-negative"),
    ),
    Hint(
        "Require a JSON integer, without conversion: `StrictInt` in pydantic, Number.isInteger in JavaScript.",
        (
            "refusal.top-n-fraction",
            "refusal.top-n-text",
            "refusal.top-n-boolean",
            "refusal.top-n-type",
        ),
    ),
    Hint(
        "Distinguish null from a missing top_n: refuse null. In pydantic, leave None out of its type and keep a default that is never validated.",
        ("refusal.top-n-null",),
    ),
    Hint(
        "Validate provider as an object or null, with strict types for the fields that the contract names, even if you do not use them.",
        ("refusal.provider-type", "refusal.provider-field-type"),
    ),
    Hint(
        "Require a string of at most 256 characters.",
        ("refusal.session-id",),
    ),
    Hint(
        "Require an object, with strings in the keys that the contract names, even if you do not use it.",
        ("refusal.trace-type",),
    ),
    Hint(
        "Catch the error of the JSON parser and answer 400 in the envelope. Also refuse text after the object.",
        ("refusal.malformed-json",),
    ),
    Hint(
        'Decode the body strictly as UTF-8 (no `errors="replace"`), and answer 400 if that fails.',
        ("refusal.not-utf-8",),
    ),
    Hint(
        "Answer 400 in the envelope for an empty body; do not treat it as an empty object with defaults.",
        ("refusal.empty-body",),
    ),
    Hint(
        "Require an object after the body is parsed; do not index an array, a string or null.",
        ("refusal.not-an-object",),
    ),
    Hint(
        "Compare the media type of Content-Type with application/json before the body is read, and answer 400 for any other.",
        ("refusal.content-type",),
    ),
    Hint(
        "Limit the depth of JSON, or catch the RecursionError of the parser and of the validator, and answer 400.",
        ("refusal.deep-nesting",),
    ),
    Hint(
        "Answer 400 to every invalid body, in one handler for validation errors: not the framework's 422 or 415, not a 5xx, and not 200 with an error.",
        ("refusal.status",),
    ),
    # error
    Hint(
        "Map your own statuses to documented ones in one error handler: 422 and 415 become 400.",
        ("error.status-documented",),
    ),
    Hint(
        "Send Content-Type: application/json with every error, also with the framework's own 404, 405 and 500.",
        ("error.content-type",),
    ),
    Hint(
        'Register one handler for all errors, the framework\'s own 404, 405, 422 and 500 included: {"error": {"code": 400, "message": "..."}}.',
        ("error.envelope", "method.envelope"),
    ),
    Hint(
        "Write the HTTP status as error.code, as an integer; your own names and codes belong in error.metadata.",
        ("error.code",),
    ),
    # authentication
    Hint(
        "Require `Authorization: Bearer KEY` on this route, and answer 401 in the envelope without it.",
        ("authentication.no-key", "authentication.wrong-scheme"),
    ),
    Hint(
        "Compare the whole key with the known ones, and refuse an empty one; it is not enough to check that the header is present.",
        ("authentication.wrong-key",),
    ),
    Hint(
        "Compare keys for equality, in constant time (`secrets.compare_digest`); not by prefix or length, and not case-insensitively.",
        ("authentication.similar-key",),
    ),
    Hint(
        "Check the key in a middleware, before the body is read and validated; a dependency of the route runs too late.",
        ("authentication.before-body",),
    ),
    Hint(
        "Check the key in a middleware for every path, not by a list of exact paths: //rerank and /rerank/ may lead to the same route.",
        ("authentication.other-address",),
    ),
    Hint(
        "Return after the refusal, so that nothing is ranked for a request without a key.",
        ("authentication.nothing-ranked",),
    ),
    Hint(
        "Leave the Authorization header out of messages, echoes and debug output.",
        ("authentication.key-not-shown",),
    ),
    Hint(
        "Send `WWW-Authenticate: Bearer` with every 401.",
        ("authentication.challenge",),
    ),
    Hint(
        "Compare the scheme in lower case: `bearer` and `Bearer` are the same.",
        ("authentication.scheme-case",),
    ),
    # method
    Hint(
        "Register the route only for POST, and answer other methods with 405.",
        ("method.refused",),
    ),
    Hint(
        "Send `Allow: POST` with every 405.",
        ("method.allow",),
    ),
    Hint(
        "Answer unknown methods with 405 or 501, and check middleware that handles them before the route.",
        ("method.any",),
    ),
    # model
    Hint(
        "Look the model up before you load or forward it, and answer 404 or 400 in the envelope if it is unknown.",
        ("model.any-name",),
    ),
    # robustness
    Hint(
        "Read the log of the server at this request: a crash, a timeout or a wrong Content-Length ends the connection.",
        ("robustness.answered",),
    ),
    Hint(
        "Read the log of the server for these statuses. Usual causes are a short queue and restarting workers.",
        ("robustness.transient-errors",),
    ),
    Hint(
        "Check the size of a request before it is processed, and answer 413 in the envelope.",
        ("robustness.large-request",),
    ),
    Hint(
        "Catch the errors of the parser and the validator (OverflowError, RecursionError, UnicodeEncodeError), and answer 400.",
        ("robustness.odd-json",),
    ),
    Hint(
        "Read the log of the server at this request, and answer 400 if the server cannot handle it.",
        ("robustness.no-server-error", "schema.no-server-error"),
    ),
    Hint(
        "Close idle connections cleanly and only after a minute or more, and look for caches and state that expire within seconds.",
        ("robustness.after-pause",),
    ),
    # transport
    Hint(
        "Read the body until it ends; do not require Content-Length, and let a proxy in front buffer requests.",
        ("transport.chunked-body",),
    ),
    Hint(
        "Send JSON for any Accept that includes it: a missing header, */* and lists with other types do.",
        ("transport.accept", "transport.event-stream"),
    ),
    Hint(
        "Raise the limit of the body, often 100 kB or 1 MB by default, and answer 413 in the envelope beyond it.",
        ("transport.large-body",),
    ),
    Hint(
        "Read the whole body of a refused request, send no body after HEAD, and use Content-Length or close for HTTP/1.0.",
        ("transport.connection",),
    ),
    Hint(
        "Answer Expect: 100-continue with 100, as HTTP libraries do, or ignore it; do not answer 417.",
        ("transport.expect",),
    ),
    Hint(
        "Read header values as bytes or Latin-1, and do not fail on values that are not ASCII.",
        ("transport.header-bytes",),
    ),
    Hint(
        "Raise the limit of the headers to 16 kB, in the server and in a proxy in front.",
        ("transport.long-headers",),
    ),
    Hint(
        "Treat a request without Content-Type as JSON, or answer 400 in the envelope.",
        ("transport.no-content-type",),
    ),
    Hint(
        "Ignore headers that you do not use, parse the others leniently, and never refuse a request for a header of a client library.",
        ("transport.client-headers",),
    ),
    Hint(
        "Leave the check of Origin to browsers: send CORS headers, and do not refuse requests by their Origin.",
        ("transport.origin",),
    ),
    Hint(
        "Match the path without its query string, and ignore unknown parameters.",
        ("transport.query-string",),
    ),
    Hint(
        "Compress a response only if Accept-Encoding names the coding, in the server and in a proxy in front.",
        ("transport.content-encoding",),
    ),
    Hint(
        "Check Content-Encoding before you parse the body: decompress it, or answer 415.",
        ("transport.compressed-body",),
    ),
    # schema
    Hint(
        "Validate the whole body by the schema RerankRequest with strict types; the failed request shows the unchecked field.",
        ("schema.negative-data",),
    ),
)
"""Every hint; each handwritten rule has one."""


_TEXTS = {name: hint.text for hint in HINTS for name in hint.rules}


def mend_of(name: str) -> str | None:
    """Return the usual fix for a failure of a rule; None if the kit has none.

    Args:
        name: The id of the rule.
    """
    return _TEXTS.get(name) or next((one.mend for one in derived.requirements() if one.id == name), None)
