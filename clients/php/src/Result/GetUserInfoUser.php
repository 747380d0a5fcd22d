<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** The user. Generated: do not edit. */
final class GetUserInfoUser
{
    /** The id of the user. */
    public string $user_id;
    /** The user's name. */
    public string $name;
    /** The user's e-mail address. */
    public string $email;
    /** When the user was created. */
    public string $created_at;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->user_id = $answer['user_id'];
        $result->name = $answer['name'];
        $result->email = $answer['email'];
        $result->created_at = $answer['created_at'];

        return $result;
    }
}
