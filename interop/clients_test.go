package interop_test

// A client is one program of this directory, and what it cannot do.
type client struct {
	name, tools, packages string            // skipped without the tools of these packages
	probe                 []string          // skipped if this fails too
	dir                   string            // where to build it
	build                 []string          // nil if there is nothing to build; {tmp} is a temporary folder
	run                   []string          // without the addresses; {tmp} as for build
	users                 int               // at once
	resets                bool              // resets a user whose server does not answer
	lacks                 map[string]string // the skipped cases, and why
}

var (
	goBuild  = []string{"go", "build", "-o", "../bin/", "."}
	npmBuild = []string{"npm", "ci", "--no-audit", "--no-fund"}
)

// Why several cases are skipped.
const (
	ncOutput   = "nc does not end its output when the network ends"
	ncResets   = "nc takes a reset for an end, and cannot send one"
	dropped    = "a connection that ends before the user comes is dropped from the pool"
	closesBoth = "in hashicorp/yamux v0.1.1 Close ends a stream for reading, too"
	noReset    = "hashicorp/yamux cannot reset a stream"
)

const (
	pyBuild = "python3 -m venv {tmp} && {tmp}/bin/pip install --no-deps --disable-pip-version-check -r requirements.txt"
	// One of the requirements, fastecdsa, is compiled.
	pyProbe = `python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' &&
		printf '#include <Python.h>\n#include <gmp.h>\n' |
		gcc -I"$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))')" -E -o /dev/null -`
)

var clients = []client{{
	name: "python-pool", tools: "python3", packages: "python3",
	run: []string{"python3", "python/pool.py"}, users: 64, resets: true,
	lacks: map[string]string{
		serverEndsFirst:             dropped,
		userResetsHalfClosed:        dropped,
		relayDiesInUploadHalfClosed: dropped,
	},
}, {
	name: "python-event", tools: "python3", packages: "python3",
	run: []string{"python3", "python/event.py"}, users: 64, resets: true,
}, {
	name: "shell-event", tools: "bash nc", packages: "bash netcat-openbsd",
	run: []string{"bash", "shell/event.sh"}, users: 8,
	lacks: map[string]string{
		userEndsFirst:               ncOutput,
		slowServer:                  ncOutput,
		userResets:                  ncResets,
		userResetsHalfClosed:        ncResets,
		serverResets:                ncResets,
		serverResetsHalfClosed:      ncResets,
		relayDiesInUpload:           ncResets,
		relayDiesInUploadHalfClosed: ncResets,
		clientDies:                  "nc cannot set SO_LINGER, and outlives the script",
	},
}, {
	name: "go-hashicorp-v0.1.1", dir: "go/hashicorp-v0.1.1", build: goBuild,
	run: []string{"go/bin/hashicorp-v0.1.1"}, users: 64,
	lacks: map[string]string{
		serverEndsFirst:             closesBoth,
		userResetsHalfClosed:        closesBoth,
		relayDiesInUploadHalfClosed: closesBoth,
		serverResets:                noReset,
		serverResetsHalfClosed:      noReset,
	},
}, {
	name: "go-hashicorp-v0.1.2", dir: "go/hashicorp-v0.1.2", build: goBuild,
	run: []string{"go/bin/hashicorp-v0.1.2"}, users: 64,
	lacks: map[string]string{serverResets: noReset, serverResetsHalfClosed: noReset},
}, {
	name: "go-libp2p", dir: "go/libp2p", build: goBuild,
	run: []string{"go/bin/libp2p"}, users: 64, resets: true,
}, {
	name: "node-chainsafe-v7", tools: "node npm", packages: "nodejs npm",
	dir: "node/chainsafe-v7", build: npmBuild,
	run: []string{"node", "node/chainsafe-v7/multiplex.js"}, users: 64, resets: true,
}, {
	name: "node-libp2p-v8", tools: "node npm", packages: "nodejs npm",
	dir: "node/libp2p-v8", build: npmBuild,
	run: []string{"node", "node/libp2p-v8/multiplex.js"}, users: 64, resets: true,
}, {
	name: "python-py-libp2p", tools: "python3 gcc", packages: "gcc libgmp-dev python3 python3-dev python3-venv",
	probe: []string{"sh", "-c", pyProbe},
	dir:   "python/py-libp2p", build: []string{"sh", "-c", pyBuild},
	run: []string{"{tmp}/bin/python", "python/py-libp2p/multiplex.py"}, users: 64, resets: true,
}, {
	name: "rust", tools: "cargo", packages: "cargo",
	dir: "rust", build: []string{"cargo", "build", "--release", "--locked", "--target-dir=target"},
	run: []string{"rust/target/release/multiplex"}, users: 64, resets: true,
	lacks: map[string]string{
		serverResetsHalfClosed: "behind the user's FIN the crate can send nothing but a FIN, and the relay's reset takes 10 minutes",
	},
}}
