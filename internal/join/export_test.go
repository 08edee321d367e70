package join

// CopyJoin is the join of everything that no event loop can serve.
var CopyJoin = copyJoin
