//go:build linux

package main

import (
	"bytes"
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

const (
	chartWidth  = 16 * vg.Centimeter
	chartMargin = 3 * vg.Millimeter
	// chartFrame is for the title, the axis and the margins.
	chartFrame = 2.5 * vg.Centimeter
	barHeight  = 6 * vg.Millimeter
)

// draw draws the medians of each scenario as bars, and each round as a point.
func (r *report) draw(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("the charts: %w", err)
	}
	for _, s := range r.Scenarios {
		if !s.drawable() {
			continue
		}
		if err := s.draw(filepath.Join(dir, s.Name+".svg")); err != nil {
			return fmt.Errorf("the chart of %s: %w", s.Name, err)
		}
	}
	return nil
}

func (s scenarioReport) drawable() bool {
	return slices.ContainsFunc(s.Rows, func(r row) bool { return r.Median != nil })
}

func (s scenarioReport) draw(file string) error {
	var rows []row
	for _, row := range slices.Backward(s.Rows) { // the first one on top
		if row.Median != nil {
			rows = append(rows, row)
		}
	}
	p := plot.New()
	p.Title.Text = s.Name
	p.X.Min = 0
	for _, text := range []*font.Font{
		&p.Title.TextStyle.Font, &p.X.Label.TextStyle.Font, &p.X.Tick.Label.Font, &p.Y.Tick.Label.Font, &p.Legend.TextStyle.Font,
	} {
		text.Variant = "Sans"
	}
	var names []string
	for _, row := range rows {
		names = append(names, row.Contender)
	}
	colors := []color.Color{color.RGBA{0x3b, 0x6e, 0xa8, 0xff}, color.RGBA{0xd9, 0x8e, 0x32, 0xff}}
	for i, key := range s.Chart {
		// Bars of one contender are beside each other.
		offset := barHeight * font.Length(float64(len(s.Chart)-1)/2-float64(i))
		if err := s.drawBars(p, rows, key, offset, colors[i%len(colors)]); err != nil {
			return err
		}
	}
	p.NominalY(names...)
	p.X.Max *= 1.03
	if len(s.Chart) > 1 {
		p.X.Max *= 1.5 // for the legend
	}
	return save(p, chartFrame+font.Length(len(rows)*len(s.Chart))*barHeight*1.4, file)
}

// save writes the chart with a margin, which a plot does not have.
func save(p *plot.Plot, height vg.Length, file string) error {
	canvas := vgsvg.New(chartWidth, height)
	paper := draw.New(canvas)
	paper.SetColor(color.White)
	paper.Fill(paper.Path())
	p.Draw(draw.Crop(paper, chartMargin, -chartMargin, chartMargin, -chartMargin))
	var svg bytes.Buffer
	if _, err := canvas.WriteTo(&svg); err != nil {
		return fmt.Errorf("drawing: %w", err)
	}
	if err := os.WriteFile(file, svg.Bytes(), 0o644); err != nil {
		return fmt.Errorf("saving: %w", err)
	}
	return nil
}

func (s scenarioReport) drawBars(p *plot.Plot, rows []row, key string, offset vg.Length, c color.Color) error {
	title := s.Columns[slices.IndexFunc(s.Columns, func(c column) bool { return c.Key == key })].Title
	var medians plotter.Values
	for _, row := range rows {
		medians = append(medians, row.Median[key])
	}
	bars, err := plotter.NewBarChart(medians, barHeight)
	if err != nil {
		return fmt.Errorf("bars: %w", err)
	}
	bars.Horizontal, bars.Offset, bars.Color, bars.LineStyle.Width = true, offset, c, 0
	p.Add(bars)
	if len(s.Chart) == 1 {
		p.X.Label.Text = title
		return s.drawRounds(p, rows, key)
	}
	p.Legend.Add(title, bars)
	p.Legend.Top = true
	return nil
}

// drawRounds shows how far the rounds are from each other.
func (s scenarioReport) drawRounds(p *plot.Plot, rows []row, key string) error {
	var points plotter.XYs
	for i, row := range rows {
		for _, round := range row.Rounds {
			points = append(points, plotter.XY{X: round[key], Y: float64(i)})
		}
	}
	rounds, err := plotter.NewScatter(points)
	if err != nil {
		return fmt.Errorf("points: %w", err)
	}
	rounds.Radius = vg.Points(1.5)
	p.Add(rounds)
	return nil
}
