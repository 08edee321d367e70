import com.jcraft.jsch.Session;
import com.jcraft.jsch.UIKeyboardInteractive;
import com.jcraft.jsch.UserInfo;

/** Puts a local server online with ssh -R, on JSch (mwiede). The relay's key is not verified. */
public final class JSch {
    /** Answers keyboard-interactive without a question. */
    private static final class Silent implements UserInfo, UIKeyboardInteractive {
        public String[] promptKeyboardInteractive(String to, String name, String instruction, String[] prompt, boolean[] echo) {
            return new String[prompt.length];
        }

        public String getPassphrase() {
            return null;
        }

        public String getPassword() {
            return null;
        }

        public boolean promptPassword(String message) {
            return false;
        }

        public boolean promptPassphrase(String message) {
            return false;
        }

        public boolean promptYesNo(String message) {
            return false;
        }

        public void showMessage(String message) {}
    }

    public static void main(String[] args) throws Exception {
        com.jcraft.jsch.JSch jsch = new com.jcraft.jsch.JSch();
        if (!Settings.KEY.isEmpty()) {
            jsch.addIdentity(Settings.KEY);
        }
        Session session = jsch.getSession(Settings.USER, args[0], Integer.parseInt(args[1]));
        session.setConfig("StrictHostKeyChecking", "no");
        session.setUserInfo(new Silent());
        session.setServerAliveInterval(15_000);
        session.connect(30_000);
        int bound = session.setPortForwardingR(Settings.BIND + ":" + Settings.ASKED + ":" + args[2] + ":" + args[3]);
        System.out.println("port " + bound);
        while (session.isConnected()) {
            Thread.sleep(100);
        }
        System.exit(1);
    }
}
