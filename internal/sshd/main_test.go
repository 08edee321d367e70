package sshd_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(relayEnv) != "" {
		runRelay()
		return
	}
	goleak.VerifyTestMain(m)
}
