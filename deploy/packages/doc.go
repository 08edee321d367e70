// Package packages is what the packages of Relay are made from, by make packages: nfpm.yaml says
// what they contain, and the scripts what happens when they come and go. Its tests install them.
package packages
