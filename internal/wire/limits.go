package wire

// newWord stands in the place of an id: it asks for a tunnel instead of claiming
// something.
const newWord = "new"

// Limits of the lines, in bytes without the line end (docs/protocol.md, "Lines").
const (
	maxVerb = 64
	maxID   = 128
	maxText = 4096 // option lines, and refusals

	// maxOptions bounds what an unauthenticated peer can have the relay hold: 16 option
	// lines, at most 64 KiB.
	maxOptions = 16
)

// Codes of refusals (docs/protocol.md, "Refusals").
const (
	CodeNoPort        = "no-port"
	CodeNotOpen       = "not-open"
	CodeInUse         = "in-use"
	CodeDraining      = "draining"
	CodeUnknownOption = "unknown-option"
	CodeLimit         = "limit"
	CodeBadOption     = "bad-option"
	CodeUnauthorized  = "unauthorized"
	CodeExpired       = "expired"
	CodeForbidden     = "forbidden"
	CodePortTaken     = "port-taken"
	CodeNameTaken     = "name-taken"
	CodeSuperseded    = "superseded"
	CodeShutOut       = "shut-out"
	CodeGroupDiffers  = "group-differs"
)
