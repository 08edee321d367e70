import java.net.InetSocketAddress;
import java.util.List;
import net.schmizz.sshj.SSHClient;
import net.schmizz.sshj.connection.channel.forwarded.RemotePortForwarder;
import net.schmizz.sshj.connection.channel.forwarded.RemotePortForwarder.Forward;
import net.schmizz.sshj.connection.channel.forwarded.SocketForwardingConnectListener;
import net.schmizz.sshj.transport.verification.PromiscuousVerifier;
import net.schmizz.sshj.userauth.method.AuthKeyboardInteractive;
import net.schmizz.sshj.userauth.method.AuthNone;
import net.schmizz.sshj.userauth.method.ChallengeResponseProvider;
import net.schmizz.sshj.userauth.password.Resource;

/** Puts a local server online with ssh -R, on sshj. The relay's key is not verified. */
public final class Sshj {
    /** Answers keyboard-interactive without a question. */
    private static final class Silent implements ChallengeResponseProvider {
        public List<String> getSubmethods() {
            return List.of();
        }

        public void init(Resource resource, String name, String instruction) {}

        public char[] getResponse(String prompt, boolean echo) {
            return new char[0];
        }

        public boolean shouldRetry() {
            return false;
        }
    }

    public static void main(String[] args) throws Exception {
        SSHClient client = new SSHClient();
        client.addHostKeyVerifier(new PromiscuousVerifier());
        client.getConnection().getKeepAlive().setKeepAliveInterval(15);
        client.connect(args[0], Integer.parseInt(args[1]));
        if (!Settings.KEY.isEmpty()) {
            client.authPublickey(Settings.USER, Settings.KEY);
        } else if (Settings.USER.contains("auth+none")) {
            client.auth(Settings.USER, new AuthNone());
        } else {
            client.auth(Settings.USER, new AuthKeyboardInteractive(new Silent()));
        }
        Forward forward = client.getRemotePortForwarder().bind(
            new Forward(Settings.BIND, Settings.ASKED),
            new SocketForwardingConnectListener(new InetSocketAddress(args[2], Integer.parseInt(args[3]))));
        System.out.println("port " + forward.getPort());
        client.getTransport().join();
        System.exit(1);
    }
}
