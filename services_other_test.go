//go:build !linux

package relay_test

const servicesOf = "RELAY_TEST_SERVICES"

func runServices() {}
