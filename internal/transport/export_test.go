package transport

import (
	"context"

	"github.com/seed96252745/relay/internal/join"
)

// DialLocal is StartLocal and the wait.
func DialLocal(ctx context.Context, addr string) (join.Conn, error) {
	return dial(ctx, addr)
}
