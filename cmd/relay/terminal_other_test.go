//go:build !unix

package main_test

import "github.com/rogpeppe/go-internal/testscript"

type terminals map[string]struct{}

func terminalCommands() map[string]func(*testscript.TestScript, bool, []string) { return nil }

func (terminals) close() {}
