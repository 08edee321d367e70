package main

import (
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
)

// processUsage is what the process holds.
type processUsage struct{}

// LogValue collects garbage first: an operator who asks wants to know what is held.
func (processUsage) LogValue() slog.Value {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	descriptors, err := os.ReadDir("/proc/self/fd")
	n := len(descriptors) - 1 // without that of the folder
	if err != nil {
		n = -1 // this system does not tell
	}
	return slog.GroupValue(
		slog.Int("goroutines", runtime.NumGoroutine()),
		slog.Int("descriptors", n),
		slog.Uint64("heapBytes", m.HeapAlloc),
		slog.Uint64("stackBytes", m.StackInuse),
	)
}

// logState logs the state of the process each time the operator asks for it with SIGUSR1,
// until stop is called. More returns what else there is to log.
func logState(log *slog.Logger, more func() slog.LogValuer) (stop func()) {
	return onSignal(stateSignal, func() { log.Info("state", slog.Any("", processUsage{}), slog.Any("", more())) })
}
