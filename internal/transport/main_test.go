package transport_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// The tests run their own binary as another process, which this variable turns
// into one that only has connections until it is killed.
const roleVariable = "RELAY_TRANSPORT_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		playRole(role)
		return
	}
	goleak.VerifyTestMain(m)
}
