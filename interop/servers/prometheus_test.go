//go:build linux

package servers_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
)

// The files that docs/how-to/metrics.md hands to an operator.
const (
	prometheusFiles = "../../deploy/prometheus"
	dashboardFile   = "../../deploy/grafana/relay.json"
)

// TestPrometheusFiles has Prometheus' own tool check the configuration and the alerts, and
// run the tests of those.
func TestPrometheusFiles(t *testing.T) {
	t.Parallel()
	promtool := program(t, "promtool", "prometheus")
	for _, args := range [][]string{
		{"check", "config", "prometheus.yml"},
		{"check", "rules", "alerts.yml"},
		{"test", "rules", "alerts_test.yml"},
	} {
		check := command(t, promtool, args...)
		check.Dir = prometheusFiles
		run(t, check, nil)
	}
	alerts, err := os.ReadFile(filepath.Join(prometheusFiles, "alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile(filepath.Join(prometheusFiles, "alerts_test.yml"))
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`- alert: (\w+)`).FindAllSubmatch(alerts, -1)
	if len(names) == 0 {
		t.Fatal("there are no alerts")
	}
	for _, name := range names {
		if !bytes.Contains(tests, append([]byte("alertname: "), name[1]...)) {
			t.Errorf("the alert %s has no test", name[1])
		}
	}
}

// TestPrometheus has a real Prometheus scrape a real relay and a forwarder, with the
// configuration, the alerts and the dashboard of deploy. Each expression of the dashboard
// and of the alerts finds series, and the numbers are those of the users.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	prometheus, promtool := program(t, "prometheus", "prometheus"), program(t, "promtool", "prometheus")
	w := newWatched(t)
	for _, address := range []string{w.relay, w.forwarder} {
		lint := run(t, command(t, promtool, "check", "metrics"), fetch(t, "http://"+address+"/metrics"))
		if len(lint) > 0 {
			t.Errorf("promtool says of the metrics of %s:\n%s", address, lint)
		}
	}
	p := w.scrapedBy(t, prometheus)
	for _, expression := range p.missing(t, append(p.dashboard(t), p.alerts(t)...)) {
		t.Errorf("this finds no series: %s", expression)
	}
	for expression, want := range map[string]float64{
		`relay_received_bytes_total`:                          3 * users * message,
		`sum(relay_tunnel_sent_bytes_total)`:                  3 * users * message,
		`sum(relay_connections_total{how="fin"})`:             3 * users,
		`relay_forwarder_received_bytes_total`:                users * message,
		`relay_tunnels{state="up"}`:                           3,
		`relay_tunnels{state="local_server_down"}`:            1,
		`relay_users_active`:                                  1,
		`count(ALERTS{alertname="RelayTunnelDown"})`:          1, // which fires when it has been so for a minute
		`count(ALERTS{alertname="RelayDown"}) or vector(0)`:   0,
		`count by (instance) (relay_build_info{version!=""})`: 1,
	} {
		p.await(t, expression, want)
	}
}

// TestPrometheusWithToken has a Prometheus scrape a relay as one on another machine, by the
// lines that prometheus.yml has for that.
func TestPrometheusWithToken(t *testing.T) {
	t.Parallel()
	prometheus, openssl := program(t, "prometheus", "prometheus"), program(t, "openssl", "openssl")
	dir := t.TempDir()
	token, cert, key := filepath.Join(dir, "token"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := os.WriteFile(token, fmt.Appendf(nil, "%x\n", random(32)), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, command(t, openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
		"-subj", "/CN=relay", "-addext", "subjectAltName=IP:"+loopback, "-out", cert, "-keyout", key), nil)
	admin := conntest.FreePort(t)
	start(t, command(t, relayCommand, "--bind="+loopback, "--ports=24000-24999", "--stateDir="+t.TempDir(), "--tlsCert="+cert, "--tlsKey="+key,
		"--adminListen=0.0.0.0:"+admin, "--adminTokenFile="+token, conntest.FreePort(t))).await(t, "relay is ready")

	config, err := os.ReadFile(filepath.Join(prometheusFiles, "prometheus.yml"))
	if err != nil {
		t.Fatal(err)
	}
	_, commented, found := strings.Cut(string(config), "  # - job_name:")
	if !found {
		t.Fatal("prometheus.yml has no lines for another machine")
	}
	job := strings.NewReplacer("\n  # ", "\n  ", "/etc/prometheus/relay.token", token, "/etc/prometheus/relay-ca.pem", cert,
		"relay.example.com:8081", net.JoinHostPort(loopback, admin)).Replace(commented)
	p := startPrometheus(t, prometheus, "global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name:"+job)
	p.await(t, `up{job="relay"}`, 1)
	p.await(t, `relay_users_active`, 0)
}

// Each of so many users of a tunnel sends so many bytes, and gets them back.
const (
	users   = 3
	message = 1000
)

// watched is a relay with a tunnel in each protocol, one of which has nothing behind it, and
// one user who stays.
type watched struct{ relay, forwarder string } // where their metrics are

func newWatched(t *testing.T) *watched {
	t.Helper()
	local := echo(t)
	relayPort := conntest.FreePort(t)
	w := &watched{relay: net.JoinHostPort(loopback, conntest.FreePort(t)), forwarder: net.JoinHostPort(loopback, conntest.FreePort(t))}
	relay := start(t, command(t, relayCommand, "--bind="+loopback, "--ports=23000-23999", "--stateDir="+t.TempDir(),
		"--probe=5s", "--adminListen="+w.relay, relayPort))
	relay.await(t, "relay is ready")
	var last tunnel
	for _, protocol := range []string{"pool", "event", "multiplex"} {
		args := []string{"--localForwardHost=" + loopback, "--localForwardPort=" + local, "--protocol=" + protocol, "--name=" + protocol, "--stateDir=" + t.TempDir()}
		if protocol == "multiplex" {
			args = append(args, "--adminListen="+w.forwarder)
		}
		line := start(t, command(t, relayCommand, append(args, loopback, relayPort)...)).await(t, " -> ")
		last = tunnel{protocol, line[strings.IndexByte(line, ':')+1 : strings.IndexByte(line, ' ')]}
		for range users {
			last.exchange(t).Close()
		}
	}
	nobody := conntest.FreePort(t)
	start(t, command(t, relayCommand, "--localForwardHost="+loopback, "--localForwardPort="+nobody, "--stateDir="+t.TempDir(), loopback, relayPort)).await(t, " -> ")
	conn := last.dial(t)
	t.Cleanup(func() { conn.Close() })
	return w
}

// echo runs a server that sends back what it gets, and ends when its client has.
func echo(t *testing.T) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				io.Copy(conn, conn)
			}()
		}
	}()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func (u tunnel) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", net.JoinHostPort(loopback, u.port))
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(patience))
	return conn.(*net.TCPConn)
}

// exchange sends a message and FIN, and reads it back.
func (u tunnel) exchange(t *testing.T) net.Conn {
	t.Helper()
	conn := u.dial(t)
	sent := random(message)
	if _, err := conn.Write(sent); err != nil {
		t.Fatal(err)
	}
	conn.CloseWrite()
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("%s: %d bytes came back of %d: %v", u.protocol, len(got), len(sent), err)
	}
	return conn
}

func fetch(t *testing.T, url string) []byte {
	t.Helper()
	client := http.Client{Timeout: patience}
	answer, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v: %s", url, answer.Status, err, body)
	}
	return body
}

// prometheusServer is a Prometheus that runs.
type prometheusServer struct {
	api     string
	process *process
}

// scrapedBy starts a Prometheus with the configuration of deploy, in which only the
// addresses and the times are others.
func (w *watched) scrapedBy(t *testing.T, path string) *prometheusServer {
	t.Helper()
	config, err := os.ReadFile(filepath.Join(prometheusFiles, "prometheus.yml"))
	if err != nil {
		t.Fatal(err)
	}
	rules, err := filepath.Abs(filepath.Join(prometheusFiles, "alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(config)
	for _, change := range [][2]string{
		{`["127.0.0.1:8081"]`, `["` + w.relay + `"]`}, {`["127.0.0.1:8082"]`, `["` + w.forwarder + `"]`},
		{"scrape_interval: 15s", "scrape_interval: 1s"}, {"evaluation_interval: 15s", "evaluation_interval: 1s"},
		{"- alerts.yml", "- " + rules},
	} {
		if strings.Count(text, change[0]) != 1 {
			t.Fatalf("prometheus.yml does not have %q once", change[0])
		}
		text = strings.Replace(text, change[0], change[1], 1)
	}
	return startPrometheus(t, path, text)
}

// startPrometheus starts a Prometheus with a configuration.
func startPrometheus(t *testing.T, path, config string) *prometheusServer {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort(loopback, conntest.FreePort(t))
	p := &prometheusServer{api: "http://" + address + "/api/v1/"}
	p.process = start(t, command(t, path, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address))
	p.process.await(t, "Server is ready")
	return p
}

// answer decodes what the API answers.
func (p *prometheusServer) answer(t *testing.T, path string, data any) {
	t.Helper()
	answer := struct {
		Data any `json:"data"`
	}{data}
	if err := json.Unmarshal(fetch(t, p.api+path), &answer); err != nil {
		t.Fatal(err)
	}
}

// series is what a query finds: labels, and a time and a value.
type series struct {
	Metric map[string]string `json:"metric"`
	Value  [2]any            `json:"value"`
}

func (p *prometheusServer) query(t *testing.T, expression string) []series {
	t.Helper()
	var found struct {
		Result []series `json:"result"`
	}
	p.answer(t, "query?query="+url.QueryEscape(expression), &found)
	return found.Result
}

// missing returns the queries that find no series before long: a rate needs two scrapes.
func (p *prometheusServer) missing(t *testing.T, expressions []string) []string {
	t.Helper()
	for end := time.Now().Add(patience / 4); ; p.next(t) {
		expressions = slices.DeleteFunc(expressions, func(e string) bool { return len(p.query(t, e)) > 0 })
		if len(expressions) == 0 || time.Now().After(end) {
			return expressions
		}
	}
}

// await waits until a query finds one series with this value.
func (p *prometheusServer) await(t *testing.T, expression string, want float64) {
	t.Helper()
	got := math.NaN()
	for end := time.Now().Add(patience / 4); time.Now().Before(end); p.next(t) {
		if found := p.query(t, expression); len(found) > 0 {
			var err error
			if got, err = strconv.ParseFloat(fmt.Sprint(found[0].Value[1]), 64); err != nil {
				t.Fatal(err)
			}
			if got == want {
				return
			}
		}
	}
	t.Errorf("%s is %v, want %v", expression, got, want)
}

// next waits for the next scrape.
func (p *prometheusServer) next(t *testing.T) {
	t.Helper()
	const scrapes = `sum(timestamp(up))`
	for before := p.query(t, scrapes); ; {
		now := p.query(t, scrapes)
		if len(now) > 0 && (len(before) == 0 || now[0].Value[1] != before[0].Value[1]) {
			return
		}
		select {
		case <-p.process.exited:
			t.Fatal("Prometheus has ended")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// variables are what stands for what in the expressions of a dashboard.
var variables = strings.NewReplacer("$__rate_interval", "10s", "$job", ".*", "$instance", ".*", "$port", ".*")

// compared is what an alert compares with a number at the end of its expression.
var compared = regexp.MustCompile(`\s(==|!=|>=|<=|>|<)\s*[\d.]+\s*$`)

// dashboard returns the expressions of the dashboard, those of its variables included.
func (p *prometheusServer) dashboard(t *testing.T) (all []string) {
	t.Helper()
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Type, Title string
			Targets     []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Type, Definition string }
		}
		Annotations struct{ List []struct{ Expr string } }
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, panel := range dashboard.Panels {
		if len(panel.Targets) == 0 && panel.Type != "row" {
			t.Errorf("the panel %q shows nothing", panel.Title)
		}
		for _, target := range panel.Targets {
			all = append(all, variables.Replace(target.Expr))
		}
	}
	for _, variable := range dashboard.Templating.List {
		if of, ok := strings.CutPrefix(variable.Definition, "label_values("); ok {
			at := strings.LastIndexByte(of, ',')
			all = append(all, fmt.Sprintf("count by (%s) (%s)", strings.Trim(of[at+1:], " )"), variables.Replace(of[:at])))
		}
	}
	for _, annotation := range dashboard.Annotations.List {
		all = append(all, compared.ReplaceAllString(variables.Replace(annotation.Expr), ""))
	}
	if strings.Contains(strings.Join(all, "\n"), "$") {
		t.Error("the dashboard has a variable that this test does not know")
	}
	return all
}

// alerts returns what the alerts compare, as Prometheus has read them.
func (p *prometheusServer) alerts(t *testing.T) (all []string) {
	t.Helper()
	var read struct {
		Groups []struct{ Rules []struct{ Query string } }
	}
	p.answer(t, "rules", &read)
	for _, group := range read.Groups {
		for _, rule := range group.Rules {
			if !compared.MatchString(rule.Query) {
				t.Errorf("this compares with no number: %s", rule.Query)
			}
			all = append(all, compared.ReplaceAllString(rule.Query, ""))
		}
	}
	if len(all) == 0 {
		t.Error("there are no alerts")
	}
	return all
}
