package screen

import (
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Column is a column of a table.
type Column struct {
	Title string
	Right bool // numbers
	// Min is the width to which the column may be cut where there is no room. 0 is never.
	Min int
	// Least is how wide the column is at least, so that it stays where it is while its
	// cells change.
	Least int
	// Optional orders the columns that are left out where there is no room: the highest
	// first, and 0 never.
	Optional int
}

// Cell is a cell of a table. Its text is clean.
type Cell struct {
	Text  string
	Style Style
}

// Table is rows of cells below columns.
type Table struct {
	Columns []Column
	Rows    [][]Cell
}

// gap is between two columns.
const gap = 2

// Add adds a row of plain cells.
func (t *Table) Add(texts ...string) {
	row := make([]Cell, len(texts))
	for i, text := range texts {
		row[i].Text = text
	}
	t.Rows = append(t.Rows, row)
}

// Lines returns the lines of the table on a screen, the first of which is the header. On
// a screen without a width all is shown.
func (t *Table) Lines(s Screen) []string {
	widths := t.widths(s.Width)
	header := make([]Cell, len(t.Columns))
	for i, c := range t.Columns {
		header[i] = Cell{c.Title, Faint}
	}
	lines := make([]string, 0, len(t.Rows)+1)
	for _, row := range append([][]Cell{header}, t.Rows...) {
		lines = append(lines, t.line(s, row, widths))
	}
	return lines
}

// widths returns how wide each column is, and -1 for one that is left out.
func (t *Table) widths(room int) []int {
	widths := make([]int, len(t.Columns))
	for i, c := range t.Columns {
		widths[i] = max(c.Least, ansi.StringWidth(c.Title))
		for _, row := range t.Rows {
			widths[i] = max(widths[i], ansi.StringWidth(row[i].Text))
		}
	}
	if room <= 0 {
		return widths
	}
	for t.least(widths) > room {
		drop := t.dispensable(widths)
		if drop < 0 {
			break
		}
		widths[drop] = -1
	}
	for total(widths) > room {
		cut := t.widest(widths)
		if cut < 0 {
			break
		}
		widths[cut]--
	}
	return widths
}

// total returns how wide a line is.
func total(widths []int) int {
	sum := -gap
	for _, w := range widths {
		if w >= 0 {
			sum += w + gap
		}
	}
	return max(sum, 0)
}

// least returns how wide a line is at least, when columns are cut.
func (t *Table) least(widths []int) int {
	cut := slices.Clone(widths)
	for i, c := range t.Columns {
		if c.Min > 0 {
			cut[i] = min(cut[i], c.Min)
		}
	}
	return total(cut)
}

// widest returns the widest column that can be cut, or -1.
func (t *Table) widest(widths []int) int {
	found := -1
	for i, c := range t.Columns {
		if c.Min > 0 && widths[i] > c.Min && (found < 0 || widths[i] > widths[found]) {
			found = i
		}
	}
	return found
}

// dispensable returns the column that is left out next, or -1.
func (t *Table) dispensable(widths []int) int {
	found := -1
	for i, c := range t.Columns {
		if c.Optional > 0 && widths[i] >= 0 && (found < 0 || c.Optional > t.Columns[found].Optional) {
			found = i
		}
	}
	return found
}

func (t *Table) line(s Screen, row []Cell, widths []int) string {
	var b strings.Builder
	pending := 0 // spaces, which are written when something follows them
	for i, cell := range row {
		if widths[i] < 0 {
			continue
		}
		text := Cut(cell.Text, widths[i])
		space := widths[i] - ansi.StringWidth(text)
		if t.Columns[i].Right {
			pending += space
			space = 0
		}
		if text != "" {
			b.WriteString(strings.Repeat(" ", pending) + s.Paint(cell.Style, text))
			pending = 0
		}
		pending += space + gap
	}
	return b.String()
}

// Cut returns the text with at most width columns, the last of which is then an ellipsis.
func Cut(text string, width int) string {
	if width <= 0 {
		return ""
	}
	if ansi.StringWidth(text) <= width {
		return text
	}
	return ansi.Cut(text, 0, width-1) + "…"
}

// Pad returns text with spaces up to width columns.
func Pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-ansi.StringWidth(text)))
}

// Wrap returns text in lines of at most width columns. With width 0 it is one line.
func Wrap(text string, width int) []string {
	if width <= 0 {
		return []string{text}
	}
	return strings.Split(ansi.Wrap(text, width, ""), "\n")
}
