package interop_test

// A client is one program of this directory, with what it cannot do.
type client struct {
	name, tools, packages string            // skipped without the tools of these packages
	dir                   string            // where to build it
	build                 []string          // nil if there is nothing to build
	run                   []string          // without the addresses
	users                 int               // at once
	resets                bool              // a user whose server is not there
	lacks                 map[string]string // the cases left out, and why
}

var goBuild = []string{"go", "build", "-o", "../bin/", "."}

var clients = []client{{
	name: "python-pool", tools: "python3", packages: "python3",
	run: []string{"python3", "python/pool.py"}, users: 64, resets: true,
	lacks: map[string]string{
		serverEndsFirst: "a connection that ends before the user comes is dropped from the pool",
	},
}, {
	name: "python-event", tools: "python3", packages: "python3",
	run: []string{"python3", "python/event.py"}, users: 64, resets: true,
}, {
	name: "shell-event", tools: "bash nc", packages: "bash netcat-openbsd",
	run: []string{"bash", "shell/event.sh"}, users: 8,
	lacks: map[string]string{
		userEndsFirst: "nc does not end its output when the network ends",
		clientDies:    "nc cannot set SO_LINGER, and outlives the script",
	},
}, {
	name: "go-hashicorp-v0.1.1", dir: "go/hashicorp-v0.1.1", build: goBuild,
	run: []string{"go/bin/hashicorp-v0.1.1"}, users: 64,
	lacks: map[string]string{
		serverEndsFirst: "in hashicorp/yamux v0.1.1 Close ends a stream for reading, too",
	},
}, {
	name: "go-hashicorp-v0.1.2", dir: "go/hashicorp-v0.1.2", build: goBuild,
	run: []string{"go/bin/hashicorp-v0.1.2"}, users: 64,
}, {
	name: "go-libp2p", dir: "go/libp2p", build: goBuild,
	run: []string{"go/bin/libp2p"}, users: 64, resets: true,
}, {
	name: "node", tools: "node npm", packages: "nodejs npm",
	dir: "node", build: []string{"npm", "ci", "--no-audit", "--no-fund"},
	run: []string{"node", "node/multiplex.js"}, users: 64, resets: true,
}, {
	name: "rust", tools: "cargo", packages: "cargo",
	dir: "rust", build: []string{"cargo", "build", "--release", "--locked", "--target-dir=target"},
	run: []string{"rust/target/release/multiplex"}, users: 64, resets: true,
}}
