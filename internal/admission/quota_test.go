package admission_test

import (
	"testing"

	"github.com/seed96252745/relay/internal/admission"
)

func TestQuotaTable(t *testing.T) {
	var q admission.QuotaTable[string]
	for i := range 3 {
		if got := q.Acquire("a", 2); got != (i < 2) {
			t.Errorf("%d of one owner: got %v", i, got)
		}
	}
	if !q.Acquire("b", 2) {
		t.Error("another owner has no quota")
	}
	q.Release("a")
	if !q.Acquire("a", 2) || q.Acquire("a", 2) {
		t.Error("what was released cannot be acquired once")
	}
	q.Add("a")
	q.Release("a")
	if q.Acquire("a", 2) {
		t.Error("what was added beyond the limit is not counted")
	}
}
