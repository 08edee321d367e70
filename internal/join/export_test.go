package join

import (
	"context"

	"github.com/seed96252745/relay/internal/conn"
)

// CopyJoin runs the join of connections that no event loop can serve.
func CopyJoin(ctx context.Context, a, b conn.Conn, o Options) Result {
	return newCopying(a, b, o, periods{checkInterval, silence, noProgress}).run(ctx)
}
