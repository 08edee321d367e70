package proxyproto

import (
	"net"
	"reflect"
	"testing"
)

// Headers of TCP connections are parsed without the library. Whatever a byte of one is
// changed to, the result is the library's.
func TestParseTCPAsTheLibraryDoes(t *testing.T) {
	for _, addrs := range [][2]string{
		{"192.0.2.1:1000", "198.51.100.1:80"}, {"[2001:db8::1]:1000", "[2001:db8::2]:80"}, {"192.0.2.1:1000", "[2001:db8::2]:80"},
	} {
		header, err := Header(2, resolve(t, addrs[0]), resolve(t, addrs[1]))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, ok := parseTCP(header); !ok {
			t.Errorf("a header of %v is left to the library", addrs)
		}
		for i := range header {
			good := header[i]
			for b := range 256 {
				header[i] = byte(b)
				wantAsLibrary(t, header)
			}
			header[i] = good
			wantAsLibrary(t, header[:i])
		}
		wantAsLibrary(t, append(header, 0))
	}
}

func resolve(t *testing.T, addr string) net.Addr {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func wantAsLibrary(t *testing.T, header []byte) {
	t.Helper()
	if len(header) == 0 {
		return // is never parsed
	}
	user, public, err := parse(header, nil)
	wantUser, wantPublic, wantErr := parseAny(header, nil)
	if !reflect.DeepEqual(user, wantUser) || !reflect.DeepEqual(public, wantPublic) || (err == nil) != (wantErr == nil) {
		t.Errorf("%x: got %v, %v, %v; want %v, %v, %v", header, user, public, err, wantUser, wantPublic, wantErr)
	}
}
