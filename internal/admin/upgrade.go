package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/seed96252745/relay/internal/api"
)

// upgradeWait is how long an upgrade may take, with the answer. A new process may take half a
// minute until it is ready.
const upgradeWait = time.Minute

// ownerOperations returns the operations that only the owner of the process may use: what they
// do is the machine's.
func (d *door) ownerOperations() []route {
	return []route{{"POST", "/upgrade", d.upgrade}}
}

func (d *door) upgrade(w http.ResponseWriter, r *http.Request) error {
	if err := bare(r); err != nil {
		return err
	}
	switch {
	case !d.Owner:
		return refuse(http.StatusForbidden, "owner_only", "this starts a program, which only the owner of the process may: use its unix socket")
	case d.Upgrade == nil:
		return ErrUnsupported
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(upgradeWait)) // fails as the write does
	// An upgrade that has begun goes on when its client leaves.
	ctx := context.WithoutCancel(r.Context())
	var done api.Upgrade
	err := d.act(r, "upgrade", "", func() (err error) {
		done, err = d.Upgrade(ctx)
		return err
	}, nil)
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, done)
	return nil
}
