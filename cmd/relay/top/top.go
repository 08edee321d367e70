// Package top shows the tunnels and the users of a relay or of a forwarder on a terminal,
// live, and ends those that a person there chooses.
package top

import (
	"context"
	"io"

	tea "charm.land/bubbletea/v2"

	"github.com/seed96252745/relay/internal/api"
)

// Node is the relay or the forwarder that is shown. Its methods may wait: they are called
// beside the screen, one after the other.
type Node interface {
	Status(ctx context.Context) (api.Status, error)
	Tunnels(ctx context.Context) ([]api.Tunnel, error)
	Users(ctx context.Context, tunnel string, limit int) ([]api.User, error)
	Ended(ctx context.Context, tunnel string, limit int) ([]api.Ended, error)

	EndUser(ctx context.Context, id string) error
	CloseTunnel(ctx context.Context, id string) error
	Pause(ctx context.Context, id string) error
	Resume(ctx context.Context, id string) error
}

// Run shows node on a terminal until a person there quits, or ctx is done. Explain adds to
// an error of node what to do; it is shown, and node is asked again.
func Run(ctx context.Context, node Node, explain func(error) error, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m := &model{ctx: ctx, node: node, explain: explain, sort: defaultSort()}
	program := tea.NewProgram(m, tea.WithInput(in), tea.WithOutput(out), tea.WithoutSignalHandler(), tea.WithFPS(framesPerSecond))
	defer context.AfterFunc(ctx, program.Quit)()
	_, err := program.Run()
	return err
}

// framesPerSecond bounds how often the screen is drawn: what it shows comes once a second,
// and keys have to be answered at once.
const framesPerSecond = 20
