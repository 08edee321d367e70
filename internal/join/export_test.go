package join

import "context"

// CopyJoin is the join of everything that no event loop can serve.
func CopyJoin(ctx context.Context, a, b Conn) Result {
	return newCopying(a, b, periods{lookEvery, silence, noProgress}).run(ctx)
}
